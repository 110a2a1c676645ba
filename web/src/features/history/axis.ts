// Where marks stand on the axes of time and price, and what they say.

import { zoneFormat } from '@/shared/format';
import type { View } from './columns';

export interface Mark {
  /** A price, or ms since the epoch. */
  value: number;
  text: string;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Distances between marks of time, ms; months and years follow the calendar. */
const STEPS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 5, 10].map((n) => n * DAY),
];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240];
const MONTH_MS = 30.44 * DAY;

/** Marks of time about `apart_px` from one another. Days and longer begin at midnight UTC, like the platform's bars. */
export function timeMarks(view: View, pixels: number, zone: string, apart_px = 110): Mark[] {
  const wanted = ((view.to - view.from) / Math.max(1, pixels)) * apart_px;
  const step = STEPS.find((width) => width >= wanted);
  if (step === undefined) return monthMarks(view, wanted);
  const marks: Mark[] = [];
  for (let at = Math.ceil(view.from / step) * step; at < view.to; at += step)
    marks.push({ value: at, text: timeText(at, step, zone) });
  return marks;
}

function monthMarks(view: View, wanted_ms: number): Mark[] {
  const months = MONTHS.find((n) => n * MONTH_MS >= wanted_ms) ?? (MONTHS.at(-1) as number);
  const begin = new Date(view.from);
  const marks: Mark[] = [];
  let month = Math.floor((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / months) * months;
  for (;;) {
    const value = Date.UTC(Math.floor(month / 12), month % 12);
    if (value >= view.to) return marks;
    const form: Intl.DateTimeFormatOptions =
      month % 12 === 0 ? { year: 'numeric' } : { month: 'short', year: '2-digit' };
    if (value >= view.from) marks.push({ value, text: zoneFormat('UTC', form).format(value) });
    month += months;
  }
}

function timeText(at: number, step: number, zone: string): string {
  const form = (options: Intl.DateTimeFormatOptions, where = zone) => zoneFormat(where, options).format(at);
  if (step >= DAY) return form({ day: 'numeric', month: 'short' }, 'UTC');
  if (at % DAY === 0 && zone === 'UTC') return form({ day: 'numeric', month: 'short' });
  const time = form({ hour: '2-digit', minute: '2-digit' });
  if (step >= MINUTE) return time;
  const second = form({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
  return step >= SECOND ? second : `${second}.${String(at % SECOND).padStart(3, '0')}`;
}

/** Round prices about `apart_px` from one another. */
export function priceMarks(low: number, high: number, pixels: number, apart_px = 56): number[] {
  if (!(high > low)) return Number.isFinite(low) ? [low] : [];
  const wanted = ((high - low) / Math.max(1, pixels)) * apart_px;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = ([1, 2, 5, 10].find((n) => n * power >= wanted) ?? 10) * power;
  const marks: number[] = [];
  // Counted, not summed: a sum of steps drifts from round numbers.
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) marks.push(n * step);
  return marks;
}
