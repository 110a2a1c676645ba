// What is drawn of a run, made of what the API says of it.

import type { BacktestLine, BacktestTable } from '@/api/types';
import { msOfNs, NONE, number, percent } from '@/shared/format';

export type Numbers = Record<string, number | null>;

export interface Caution {
  code: string;
  text: string;
}

export interface Summary {
  numbers: Numbers;
  per_year: number;
  calendar: string;
  benchmark: string;
  notes: string[];
  cautions: Caution[];
}

/** What is said of a run; null of one that failed. */
export function summaryOf(run: BacktestLine): Summary | null {
  const found = run.summary as Partial<Summary> | null | undefined;
  if (!found?.numbers) return null;
  return {
    numbers: found.numbers,
    per_year: found.per_year ?? 365,
    calendar: found.calendar ?? '',
    benchmark: found.benchmark ?? '',
    notes: found.notes ?? [],
    cautions: found.cautions ?? [],
  };
}

export interface Curve {
  times: number[];
  equity: number[];
  /** The same money, bought and held; empty where it is not known. */
  benchmark: number[];
  /** Below the highest so far, as a share: 0 or less. */
  drawdown: number[];
}

const numbersOf = (column: unknown[] | undefined): number[] => (column ?? []).map(Number);

/** The equity of a table of days or of equity, with its drawdown. */
export function curveOf(table: BacktestTable): Curve {
  const equity = numbersOf(table.columns.equity);
  let most = Number.NEGATIVE_INFINITY;
  return {
    times: (table.columns.end ?? table.columns.ts ?? []).map((ns) => msOfNs(String(ns))),
    equity,
    benchmark: numbersOf(table.columns.benchmark),
    drawdown: equity.map((value) => {
      most = Math.max(most, value);
      return most > 0 ? value / most - 1 : 0;
    }),
  };
}

export interface Month {
  year: number;
  /** 0 is January. */
  month: number;
  growth: number;
}

/** Growth of each calendar month of UTC, the first and the last as far as they go. */
export function monthsOf({ times, equity }: Curve): Month[] {
  const found: Month[] = [];
  for (let i = 1; i < equity.length; i++) {
    const before = equity[i - 1] ?? 0;
    const ms = times[i];
    if (ms === undefined || before <= 0) continue;
    // A day ends at midnight: what it brought belongs to the month that it lay in.
    const day = new Date(ms - 1);
    const last = found.at(-1);
    const grown = (equity[i] ?? 0) / before;
    if (last && last.year === day.getUTCFullYear() && last.month === day.getUTCMonth()) {
      last.growth = (1 + last.growth) * grown - 1;
    } else {
      found.push({ year: day.getUTCFullYear(), month: day.getUTCMonth(), growth: grown - 1 });
    }
  }
  return found;
}

export interface Fall {
  start_ms: number;
  low_ms: number;
  /** Null while it is not made good. */
  end_ms: number | null;
  depth: number;
}

/** The deepest drawdowns, deepest first. */
export function fallsOf({ times, drawdown }: Curve, most: number): Fall[] {
  const found: Fall[] = [];
  let open: Fall | null = null;
  drawdown.forEach((depth, i) => {
    const ms = times[i] ?? 0;
    if (depth < 0) {
      if (!open) {
        open = { start_ms: times[Math.max(0, i - 1)] ?? ms, low_ms: ms, end_ms: null, depth };
        found.push(open);
      } else if (depth < open.depth) {
        open.depth = depth;
        open.low_ms = ms;
      }
    } else if (open) {
      open.end_ms = ms;
      open = null;
    }
  });
  return found.sort((a, b) => a.depth - b.depth).slice(0, most);
}

/** A ratio with two places; what is not defined is a dash. */
export const ratio = (value: number | null | undefined): string => number(value, 2);

export const share = (value: number | null | undefined, places = 1): string =>
  value == null ? NONE : percent(value, places).replace('+', '');

/** A share of the way to certainty: 0.61 is `61 %`. */
export const chance = (value: number | null | undefined): string => share(value, 0);

export function paramsText(params: Record<string, unknown>): string {
  return Object.entries(params)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}
