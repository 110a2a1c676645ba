// Runs beside each other: which number of each line is the best, and their curves from the same start.

import type { BacktestComparison } from '@/api/types';
import { msOfNs, number, percent } from '@/shared/format';
import { chance, type Numbers, ratio, share } from './run';

/** More is better, less is better, or neither: then no cell stands out. */
export type Better = 'more' | 'less' | 'neither';

export interface Measure {
  id: string;
  title: string;
  better: Better;
  text(value: number | null | undefined): string;
}

const grown = (value: number | null | undefined) => percent(value ?? null);
const whole = (value: number | null | undefined) => number(value);

export const MEASURES: Measure[] = [
  { id: 'total_return', title: 'Total return', better: 'more', text: grown },
  { id: 'cagr', title: 'CAGR', better: 'more', text: grown },
  { id: 'sharpe', title: 'Sharpe', better: 'more', text: ratio },
  { id: 'deflated_sharpe', title: 'Deflated Sharpe', better: 'more', text: ratio },
  { id: 'trials', title: 'Trials it is the best of', better: 'neither', text: whole },
  { id: 'probabilistic_sharpe', title: 'Probabilistic Sharpe', better: 'more', text: chance },
  { id: 'sortino', title: 'Sortino', better: 'more', text: ratio },
  { id: 'calmar', title: 'Calmar', better: 'more', text: ratio },
  // A drawdown is below zero: the higher, the shallower.
  { id: 'max_drawdown', title: 'Max drawdown', better: 'more', text: share },
  { id: 'volatility', title: 'Volatility, yearly', better: 'less', text: share },
  { id: 'profit_factor', title: 'Profit factor', better: 'more', text: ratio },
  { id: 'win_rate', title: 'Win rate', better: 'more', text: share },
  { id: 'expectancy', title: 'Expectancy', better: 'more', text: ratio },
  { id: 'trades', title: 'Trades', better: 'neither', text: whole },
  { id: 'exposure', title: 'Time in market', better: 'neither', text: share },
  { id: 'turnover', title: 'Turnover a year', better: 'less', text: (value) => number(value, 1) },
  { id: 'costs', title: 'Costs', better: 'less', text: whole },
  { id: 'break_even_bps', title: 'Break-even, bps', better: 'more', text: (value) => number(value, 1) },
];

/** Places of the best values; none where all are alike, or nothing is better. */
export function bestOf(values: (number | null | undefined)[], better: Better): number[] {
  if (better === 'neither') return [];
  const known = values.filter((value) => value != null);
  const best = better === 'more' ? Math.max(...known) : Math.min(...known);
  const at = values.flatMap((value, i) => (value === best ? [i] : []));
  return known.length < 2 || at.length === known.length ? [] : at;
}

const COLORS = ['var(--accent-text)', 'var(--chart-ma1)', 'var(--chart-ma3)', 'var(--text-secondary)'];
const DASHES = [undefined, '7 3', '2 3', '9 3 2 3', '14 4'];

/** Colours first, then dashes: no two of twenty lines are alike. */
export function styleOf(at: number): { color: string; dash?: string } {
  const dash = DASHES[Math.floor(at / COLORS.length) % DASHES.length];
  return { color: COLORS[at % COLORS.length] ?? '', ...(dash ? { dash } : {}) };
}

export interface Curves {
  times: number[];
  /** Growth of 100 of each run. */
  growth: (number | null)[][];
  /** Below the highest so far, in hundredths. */
  under: (number | null)[][];
}

export function curvesOf({ ts, growth }: BacktestComparison): Curves {
  return {
    times: ts.map((ns) => msOfNs(ns)),
    growth: growth.map((line) => line.map((value) => (value === null ? null : value * 100))),
    under: growth.map((line) => {
      let most = 0;
      return line.map((value) => {
        if (value === null) return null;
        most = Math.max(most, value);
        return most > 0 ? (value / most - 1) * 100 : 0;
      });
    }),
  };
}

export const numberOf = (numbers: Numbers | undefined, id: string): number | null => numbers?.[id] ?? null;

/** `param fast` as a person says it, with what kind of difference it is. */
export function differenceOf(name: string): { kind: string; title: string } {
  if (name.startsWith('param ')) return { kind: 'Parameters', title: name.slice(6) };
  if (name.startsWith('cost ')) return { kind: 'Costs', title: name.slice(5).replaceAll('_', ' ') };
  if (['instruments', 'interval', 'start', 'end', 'data', 'as_recorded'].includes(name))
    return { kind: 'Data', title: name.replaceAll('_', ' ') };
  if (['strategy', 'code'].includes(name)) return { kind: 'Code', title: name };
  if (name === 'outcome') return { kind: 'Outcome', title: 'digest' };
  return { kind: 'Engine', title: name.replaceAll('_', ' ') };
}

export const KINDS = ['Parameters', 'Data', 'Costs', 'Engine', 'Code', 'Outcome'];
