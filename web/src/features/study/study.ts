// What is drawn of a study, made of what the API says of it.

import type { StrategyParam, StudyProgress } from '@/api/types';

export interface Verdict {
  grade: 'luck' | 'doubtful' | 'holds';
  text: string;
  cautions: { code: string; text: string }[];
}

export interface Heatmap {
  x: string;
  y: string;
  xs: (number | string | boolean)[];
  ys: (number | string | boolean)[];
  values: (number | null)[][];
}

export interface Fold {
  fold: number;
  inside: [string, string];
  outside: [string, string];
  params: Record<string, unknown> | null;
  inside_metrics: Record<string, number | null> | null;
  outside_metrics: Record<string, number | null> | null;
}

export interface Result {
  verdict: Verdict;
  best: {
    number: number;
    params: Record<string, unknown>;
    stats: Record<string, number | null>;
    trades: number;
  };
  honesty: {
    trials: number;
    ledger_trials: number;
    deflated_sharpe: number | null;
    expected_best_sharpe: number | null;
    probabilistic_sharpe: number | null;
    overfitting: number | null;
    significance: { p: number } | null;
  };
  walk_forward: {
    folds: Fold[];
    equity: number[];
    sharpe: number | null;
    wfe: number | null;
    positive_share: number | null;
    drift: Record<string, number | null>;
  } | null;
  stable_zone: { mean: number | null; isolated: boolean };
  costs: {
    runs: { times: string; total_return: number | null; sharpe: number | null }[];
    break_even_bps: number | null;
  };
  importance: Record<string, number | null>;
  heatmaps: Heatmap[];
  parallel: { axes: string[]; lines: (number | string | boolean | null)[][] };
  failed: number;
}

export const resultOf = (study: StudyProgress): Result | null => study.result as Result | null;

/** Numbers of lines that have a number for each axis, best first. */
export function linesOf({ lines }: Result['parallel']): number[][] {
  const numeric = lines
    .map((line) => line.map((value) => (typeof value === 'boolean' ? Number(value) : value)))
    .filter((line): line is number[] => line.every((value) => typeof value === 'number'));
  return numeric.sort((a, b) => (b.at(-1) ?? 0) - (a.at(-1) ?? 0));
}

/** A range that a study tries where nothing else is said: about ten steps from end to end. */
export function rangeOf({ kind, low, high, step, default: usual, choices }: StrategyParam): string {
  if (choices.length > 0) return choices.map(String).join(', ');
  if (kind === 'bool') return 'true, false';
  if ((kind !== 'int' && kind !== 'float') || low === null || high === null) return String(usual);
  // Ranges of strategies are wide: what lies about the default is tried first.
  const from = Math.max(Number(low), kind === 'int' ? Math.ceil(Number(usual) / 4) : Number(usual) / 4);
  const to = Math.min(Number(high), Number(usual) * 2);
  const rough = (to - from) / 9;
  const by = step ?? (kind === 'int' ? Math.max(1, Math.round(rough)) : Number(rough.toPrecision(2)));
  return `${from}:${to}:${by}`;
}

const RANGE = /^\s*-?[\d.]+:-?[\d.]+(:[\d.]+)?\s*$/;

/** What is wrong with a range; null where nothing is: `5:50:5`, `1, 2, 3`, or one value. */
export function rangeFault(name: string, text: string): string | null {
  if (text.trim() === '') return `${name} has no values.`;
  if (!text.includes(':')) return null;
  if (!RANGE.test(text)) return `${name}: write a range as from:to:step.`;
  const [from = 0, to = 0, step = 1] = text.split(':').map(Number);
  return from <= to && step > 0 ? null : `${name}: the range runs backwards.`;
}

/** Fields of ranges as the API takes them. */
export function spaceOf(
  params: StrategyParam[],
  texts: Record<string, string>,
): Record<string, string | number | boolean | (number | boolean | string)[]> {
  const found: Record<string, string | number | boolean | (number | boolean | string)[]> = {};
  for (const param of params) {
    const text = (texts[param.name] ?? rangeOf(param)).trim();
    const read = (each: string) =>
      param.kind === 'bool' ? each === 'true' : param.kind === 'str' ? each : Number(each);
    if (text.includes(':')) found[param.name] = text;
    else {
      const values = text.split(',').map((each) => read(each.trim()));
      found[param.name] = values.length === 1 ? (values[0] ?? '') : values;
    }
  }
  return found;
}
