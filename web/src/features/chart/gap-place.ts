// Where gaps lie on a time axis that counts places, not seconds.

import { timeOfDay } from '@/shared/format';
import type { Colors } from '@/theme/themes';
import { type ChartGap, gapSeconds } from './gap';
import type { HatchRange } from './gap-hatch';

/** Empty places drawn for one gap at most: a gap of days must not push the bars off the screen. */
const GAP_PLACES = 60;

/** Times without a bar inside gaps, so that a gap has its width on the axis. `first` is the start of the first bar. */
export function emptyPlaces(gaps: ChartGap[], first: number, width_s: number, now_ms: number): number[] {
  const places: number[] = [];
  for (const gap of gaps) {
    const [start, end] = gapSeconds(gap, now_ms);
    const from = Math.max(first, Math.floor(start / width_s) * width_s);
    const count = Math.min(GAP_PLACES, Math.floor((end - from) / width_s) + 1);
    for (let i = 0; i < count; i++) places.push(from + i * width_s);
  }
  return places;
}

/** The place that an open gap takes next; null while it has it already, or has enough. */
export function nextEmptyPlace(
  gaps: ChartGap[],
  last: number,
  width_s: number,
  now_ms: number,
): number | null {
  const open = gaps.find((gap) => gap.end === null);
  if (!open) return null;
  const at = Math.floor(now_ms / 1000 / width_s) * width_s;
  const [start] = gapSeconds(open, now_ms);
  return at > last && at <= start + GAP_PLACES * width_s ? at : null;
}

/** Index of the first value that is `wanted` or more. */
export function lowerBound(values: number[], wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where a time lies between the bars, in bars; a bar's left edge is half a place before its middle. */
export function axisPosition(times: number[], width_s: number, seconds: number): number | null {
  const index = lowerBound(times, seconds + 1e-9) - 1;
  if (index < 0) return null;
  const inside = Math.min(1, (seconds - (times[index] ?? 0)) / width_s);
  return index - 0.5 + inside;
}

export function hatchRanges(
  gaps: ChartGap[],
  times: number[],
  width_s: number,
  now_ms: number,
  look: { colors: Colors; zone: string },
): HatchRange[] {
  return gaps.flatMap((gap): HatchRange[] => {
    const [start, end] = gapSeconds(gap, now_ms);
    const from = axisPosition(times, width_s, start);
    const to = axisPosition(times, width_s, end);
    if (from === null || to === null) return [];
    const repaired = gap.state === 'filled';
    return [
      {
        from,
        to,
        color: look.colors[repaired ? 'state.repaired' : 'state.gap'],
        tint: look.colors[repaired ? 'state.repaired.tint' : 'state.gap.tint'],
        label: gapText(gap, start, end, look.zone),
      },
    ];
  });
}

function gapText(gap: ChartGap, start: number, end: number, zone: string): string {
  const from = timeOfDay(start * 1000, zone);
  if (gap.end === null) return `gap open since ${from}`;
  const word = { filled: 'repaired', unfillable: 'cannot be filled', open: 'gap', ended: 'gap' }[gap.state];
  return `${from}–${timeOfDay(end * 1000, zone)} ${word}`;
}
