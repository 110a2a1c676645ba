// What is drawn of a study, made of what the API says of it.

import type { StrategyParam, StudyProgress, Trials } from '@/api/types';

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

/** Other paths of the best trial, by the quantiles 5, 50 and 95 %. */
export interface Chance {
  total_return: number[];
  max_drawdown: number[];
  loss: number;
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
  perturbed: { runs: number; sharpe: number[] | null; positive_share: number | null };
  chances: Record<string, Chance | null>;
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

export type Trial = Trials['items'][number];
type Scalar = number | string | boolean;

/** Numbers that a map or a table can be made of, beside the objective's own. */
export const METRICS = [
  ['sharpe', 'Sharpe'],
  ['total_return', 'Return, %'],
  ['max_drawdown', 'Drawdown, %'],
  ['sortino', 'Sortino'],
  ['calmar', 'Calmar'],
  ['cagr', 'CAGR, %'],
  ['trades', 'Trades'],
] as const;
export type Metric = (typeof METRICS)[number][0];
const SHARES = new Set<string>(['total_return', 'max_drawdown', 'cagr']);

export const metricOf = ({ metrics }: Trial, metric: string): number | null => {
  const value = metrics[metric] ?? null;
  return value === null ? null : SHARES.has(metric) ? value * 100 : value;
};

const order = (a: Scalar, b: Scalar): number =>
  typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));

/** Parameters that have more than one value among the trials, with those, ascending. */
export function axesOf(trials: Trial[]): Map<string, Scalar[]> {
  const found = new Map<string, Set<Scalar>>();
  for (const { params } of trials) {
    for (const [name, value] of Object.entries(params)) {
      if (value === null) continue;
      const values = found.get(name) ?? new Set();
      found.set(name, values.add(value));
    }
  }
  return new Map(
    [...found]
      .filter(([, values]) => values.size > 1)
      .map(([name, values]) => [name, [...values].sort(order)]),
  );
}

/** Means of a number by two parameters; null where nothing was tried or it is not defined. */
export function mapOf(
  trials: Trial[],
  metric: string,
  x: string,
  y: string,
  axes: Map<string, Scalar[]>,
): (number | null)[][] {
  const columns = new Map(axes.get(x)?.map((value, i) => [value, i]));
  const rows = new Map(axes.get(y)?.map((value, i) => [value, i]));
  const sums = Array.from({ length: rows.size }, () => new Array<number>(columns.size).fill(0));
  const counts = Array.from({ length: rows.size }, () => new Array<number>(columns.size).fill(0));
  for (const trial of trials) {
    const value = metricOf(trial, metric);
    const column = columns.get(trial.params[x] ?? '');
    const row = rows.get(trial.params[y] ?? '');
    const [sum, count] = [sums[row ?? -1], counts[row ?? -1]];
    if (value === null || column === undefined || !sum || !count) continue;
    sum[column] = (sum[column] ?? 0) + value;
    count[column] = (count[column] ?? 0) + 1;
  }
  return sums.map((line, row) =>
    line.map((sum, column) => {
      const count = counts[row]?.[column] ?? 0;
      return count === 0 ? null : sum / count;
    }),
  );
}

export interface Zone {
  /** First and last column, first and last row. */
  place: [number, number, number, number];
  low: number;
  high: number;
}

/** So much of the best a cell of the stable zone has at least. */
const HOLDS = 0.5;
/** Cells of a map beyond which no zone is looked for. */
const CELLS_MOST = 2_500;

/**
 * The largest rectangle of two cells or more each way, all of which have at least half of the best that is
 * above zero; of equally large ones that with the higher mean. Null where there is none.
 */
export function zoneOf(values: (number | null)[][]): Zone | null {
  const rows = values.length;
  const columns = values[0]?.length ?? 0;
  const best = Math.max(...values.flat().map((value) => value ?? Number.NEGATIVE_INFINITY));
  if (rows * columns > CELLS_MOST || !(best > 0)) return null;
  const good = (row: number, column: number) =>
    (values[row]?.[column] ?? Number.NEGATIVE_INFINITY) >= best * HOLDS;
  let found: { place: Zone['place']; area: number; mean: number } | null = null;
  for (let top = 0; top < rows; top++) {
    // How far up from the last row each column has been good since `top`.
    const whole = new Array<boolean>(columns).fill(true);
    for (let bottom = top; bottom < rows; bottom++) {
      for (let column = 0; column < columns; column++)
        whole[column] = (whole[column] ?? false) && good(bottom, column);
      if (bottom === top) continue;
      for (let left = 0; left < columns; ) {
        if (!whole[left]) {
          left++;
          continue;
        }
        let right = left;
        while (right + 1 < columns && whole[right + 1]) right++;
        const area = (bottom - top + 1) * (right - left + 1);
        if (right > left && area >= (found?.area ?? 0)) {
          const inside = values.slice(top, bottom + 1).flatMap((line) => line.slice(left, right + 1));
          const mean = inside.reduce((sum: number, one) => sum + (one ?? 0), 0) / area;
          if (!found || area > found.area || mean > found.mean)
            found = { place: [left, right, top, bottom], area, mean };
        }
        left = right + 1;
      }
    }
  }
  if (!found) return null;
  const [left, right, top, bottom] = found.place;
  const inside = values.slice(top, bottom + 1).flatMap((line) => line.slice(left, right + 1)) as number[];
  return { place: found.place, low: Math.min(...inside), high: Math.max(...inside) };
}

/** The trial in the middle of a zone: that which is nearest to it, the better of equally near ones. */
export function centreOf(
  zone: Zone,
  trials: Trial[],
  x: string,
  y: string,
  axes: Map<string, Scalar[]>,
): Trial | null {
  const [left, right, top, bottom] = zone.place;
  const at = (name: string, value: Scalar | null | undefined) => axes.get(name)?.indexOf(value ?? '') ?? -1;
  const far = (trial: Trial) =>
    Math.abs(at(x, trial.params[x]) - (left + right) / 2) +
    Math.abs(at(y, trial.params[y]) - (top + bottom) / 2);
  const inside = trials.filter((trial) => {
    const [column, row] = [at(x, trial.params[x]), at(y, trial.params[y])];
    return column >= left && column <= right && row >= top && row <= bottom && trial.values[0] != null;
  });
  return inside.sort((a, b) => far(a) - far(b) || (b.values[0] ?? 0) - (a.values[0] ?? 0))[0] ?? null;
}
