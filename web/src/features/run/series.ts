// What is drawn of a run besides its curve: returns of years, numbers of a window that moves, positions.

import type { BacktestTable } from '@/api/types';
import { msOfNs } from '@/shared/format';
import type { Curve } from './run';

/** Returns between one value and the next; one fewer than there are values. */
export const returnsOf = (equity: number[]): number[] =>
  equity.slice(1).map((value, i) => ((equity[i] ?? 0) > 0 ? value / (equity[i] ?? 1) - 1 : 0));

const mean = (values: number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** With one degree of freedom less, as `tidemill.research.stat` has it; null of fewer than two. */
export function deviation(values: number[]): number | null {
  if (values.length < 2) return null;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, one) => sum + (one - middle) ** 2, 0) / (values.length - 1));
}

export interface Rolling {
  /** Days of the window. */
  days: number;
  times: number[];
  sharpe: (number | null)[];
  volatility: (number | null)[];
  beta: (number | null)[];
}

/** A third of the days, a week at least and a quarter of a year at most. */
export const windowOf = (days: number): number => Math.min(90, Math.max(7, Math.floor(days / 3)));

/** Sharpe ratio, volatility of a year and beta over the last days, at the end of each. */
export function rollingOf({ times, equity, benchmark }: Curve, perYear: number): Rolling {
  const ours = returnsOf(equity);
  const theirs = returnsOf(benchmark);
  const days = windowOf(ours.length);
  const found: Rolling = { days, times: [], sharpe: [], volatility: [], beta: [] };
  for (let end = days; end <= ours.length; end++) {
    const own = ours.slice(end - days, end);
    const other = theirs.slice(end - days, end);
    const wide = deviation(own);
    found.times.push(times[end] ?? 0);
    found.volatility.push(wide === null ? null : wide * Math.sqrt(perYear));
    found.sharpe.push(wide ? (mean(own) / wide) * Math.sqrt(perYear) : null);
    found.beta.push(betaOf(own, other));
  }
  return found;
}

function betaOf(own: number[], other: number[]): number | null {
  if (other.length !== own.length || other.length < 2) return null;
  const a = mean(own);
  const b = mean(other);
  const spread = other.reduce((sum, one) => sum + (one - b) ** 2, 0);
  if (spread === 0) return null;
  return own.reduce((sum, one, i) => sum + (one - a) * ((other[i] ?? 0) - b), 0) / spread;
}

export interface Year {
  year: number;
  growth: number;
  /** The same money, bought and held; null where it is not known. */
  benchmark: number | null;
}

/** Growth of each calendar year of UTC, the first and the last as far as they go. */
export function yearsOf({ times, equity, benchmark }: Curve): Year[] {
  const found: Year[] = [];
  for (let i = 1; i < equity.length; i++) {
    // A day ends at midnight: what it brought belongs to the year that it lay in.
    const year = new Date((times[i] ?? 0) - 1).getUTCFullYear();
    const step = (values: number[]) =>
      (values[i - 1] ?? 0) > 0 ? (values[i] ?? 0) / (values[i - 1] ?? 1) : null;
    const own = step(equity) ?? 1;
    const other = step(benchmark);
    const last = found.at(-1);
    if (last?.year === year) {
      last.growth = (1 + last.growth) * own - 1;
      last.benchmark = last.benchmark === null || other === null ? null : (1 + last.benchmark) * other - 1;
    } else found.push({ year, growth: own - 1, benchmark: other === null ? null : other - 1 });
  }
  return found;
}

export interface Held {
  ms: number;
  instrument: string;
  side: string;
  size: number;
  price: number;
  /** After it: below zero is short. */
  position: number;
  /** Mean price of what is held then; null while nothing is. */
  entry: number | null;
}

const NOTHING = 1e-9;

/** What was held after each fill, in order. */
export function heldOf(fills: BacktestTable): Held[] {
  const { ts = [], instrument = [], side = [], size = [], price = [] } = fills.columns;
  const held = new Map<string, { position: number; entry: number }>();
  return ts.map((ns, i) => {
    const name = String(instrument[i]);
    const before = held.get(name) ?? { position: 0, entry: 0 };
    const amount = Number(size[i]);
    const signed = side[i] === 'buy' ? amount : -amount;
    const paid = Number(price[i]);
    const left = before.position + signed;
    const position = Math.abs(left) < NOTHING * amount ? 0 : left;
    // What is added to a position moves its price; what is taken off it does not.
    const added = before.position * signed >= 0;
    const turned = before.position * position < 0;
    const entry = added
      ? (before.entry * Math.abs(before.position) + paid * amount) / Math.abs(position || 1)
      : turned
        ? paid
        : before.entry;
    held.set(name, { position, entry });
    return {
      ms: msOfNs(String(ns)),
      instrument: name,
      side: String(side[i]),
      size: amount,
      price: paid,
      position,
      entry: position === 0 ? null : entry,
    };
  });
}

/** Fees so far, at each fill. */
export function feesOf(fills: BacktestTable): { times: number[]; paid: number[] } {
  let sum = 0;
  const paid = (fills.columns.fee ?? []).map((fee) => {
    sum += Number(fee);
    return sum;
  });
  return { times: (fills.columns.ts ?? []).map((ns) => msOfNs(String(ns))), paid };
}

/** Why orders were not done, the most frequent first: `refused: insufficient cash`, 3. */
export function reasonsOf(orders: BacktestTable): [string, number][] {
  const { state = [], reason = [] } = orders.columns;
  const found = new Map<string, number>();
  state.forEach((word, i) => {
    if (word === 'filled') return;
    const why = reason[i] ? `${word}: ${String(reason[i]).replaceAll('_', ' ')}` : String(word);
    found.set(why, (found.get(why) ?? 0) + 1);
  });
  return [...found].sort(([, a], [, b]) => b - a);
}
