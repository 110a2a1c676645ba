// Where values lie on an axis, and which of them are written beside it.

export interface Range {
  low: number;
  high: number;
}

/** What all values lie in; a single value gets room on both sides. Null where there is none. */
export function rangeOf(lists: Iterable<number | null>[]): Range | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const list of lists) {
    for (const value of list) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  if (low === high) {
    const room = Math.abs(low) / 100 || 1;
    return { low: low - room, high: high + room };
  }
  return { low, high };
}

/** Round values within a range, about `count` of them, ascending: 1, 2 or 5 times a power of ten apart. */
export function ticksOf({ low, high }: Range, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((many) => many * power).find((each) => each >= rough) ?? 10 * power;
  const found: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step + 0); // no minus zero
  return found;
}

/** Decimal places that tell values `step` apart from each other. */
export const placesOf = (step: number): number =>
  step > 0 && Number.isFinite(step) ? Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))) : 0;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];

/** Times (ms) at which an axis is marked, and whether they are days, months or years: in UTC. */
export function timeTicks(
  { low, high }: Range,
  count: number,
): { at: number[]; unit: 'time' | 'day' | 'month' | 'year' } {
  const rough = (high - low) / Math.max(1, count);
  const step = STEPS.find((each) => each >= rough);
  if (step !== undefined) {
    const at: number[] = [];
    for (let t = Math.ceil(low / step) * step; t <= high; t += step) at.push(t);
    return { at, unit: step < DAY ? 'time' : 'day' };
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120].find((each) => each * 30.4 * DAY >= rough) ?? 120;
  const first = new Date(low);
  const at: number[] = [];
  for (let month = first.getUTCFullYear() * 12; ; month += months) {
    const t = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (t > high) break;
    if (t >= low) at.push(t);
  }
  return { at, unit: months >= 12 ? 'year' : 'month' };
}

/** Every n-th index of a long list, its ends included: what a figure of so many pixels can show. */
export function thinned(length: number, most: number): number[] {
  if (length <= most) return Array.from({ length }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.round((i / (most - 1)) * (length - 1)));
}
