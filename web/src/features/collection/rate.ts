// Rates of all venues, one upon the other, over the last five minutes.

import type { CollectorStatus } from '@/api/types';
import { sparkValues } from './collection';

const STEP_S = 5;
/** Places on the time axis. */
export const PLACES = 300 / STEP_S;

export interface Layer {
  venue: string;
  base: number[];
  top: number[];
}

export interface Stack {
  layers: Layer[];
  /** Places from and to, both included, where something was measured: between them nothing is known, which is not zero. */
  runs: [from: number, to: number][];
}

export function stack(collectors: CollectorStatus[], now_ms: number): Stack {
  const values = collectors.map(({ history }) => sparkValues(history, now_ms, STEP_S));
  let base = Array.from({ length: PLACES }, () => 0);
  const layers = collectors.map(({ venue }, k): Layer => {
    const own = base;
    const top = own.map((value, i) => value + (values[k]?.[i] ?? 0));
    base = top;
    return { venue, base: own, top };
  });
  const runs: [number, number][] = [];
  for (let i = 0; i < PLACES; i++) {
    if (values.every((of) => of[i] == null)) continue;
    const last = runs.at(-1);
    if (last && last[1] === i - 1) last[1] = i;
    else runs.push([i, i]);
  }
  return { layers, runs };
}

export function niceTicks(most: number): number[] {
  const rough = most / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}
