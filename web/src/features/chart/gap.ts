// Holes in an instrument's trades, merged from history and from the stream, as the chart draws them.

import type { BarGap, GapState } from '@/api/types';
import type { StreamGap } from '@/shared/stream-core';

export interface ChartGap {
  key: string;
  cause: string;
  /** Venue's time of the last good record before the hole, ns. */
  start: bigint;
  /** Of the first good one after it; null while it is open. */
  end: bigint | null;
  /** `ended`: the venue is back and nothing has filled the hole yet. */
  state: GapState | 'ended';
}

/** Bars are made of trades: holes of the book or of quotes do not touch them. */
const touchesBars = (channel: string): boolean => channel === 'trades' || channel === 'all' || channel === '';

export function gapsOfBars(gaps: BarGap[]): ChartGap[] {
  return gaps
    .filter((gap) => touchesBars(gap.channel) && !(gap.end !== null && gap.missing === 0))
    .map((gap) => ({
      key: gap.start,
      cause: gap.cause,
      start: BigInt(gap.start),
      end: gap.end === null ? null : BigInt(gap.end),
      state: gap.state === 'open' && gap.end !== null ? 'ended' : gap.state,
    }));
}

/** Takes one edge from the stream. The same hole may be known already from history: its start tells. */
export function withStreamGap(gaps: ChartGap[], edge: StreamGap): ChartGap[] {
  if (!touchesBars(edge.channel) || edge.origin !== 'venue') return gaps;
  const key = edge.gap.join(':');
  if (edge.edge === 'open') {
    const start = BigInt(edge.ts_event);
    if (gaps.some((gap) => gap.key === key || (gap.end === null && gap.start === start))) return gaps;
    return [...gaps, { key, cause: edge.cause, start, end: null, state: 'open' }];
  }
  const end = BigInt(edge.ts_event);
  const byKey = gaps.findIndex((gap) => gap.key === key);
  // An opening that history named has no position: its end closes the newest open hole before it.
  const index = byKey >= 0 ? byKey : gaps.findLastIndex((gap) => gap.end === null && gap.start <= end);
  // The venue's own numbers say that nothing was lost: no hole after all.
  if (edge.missing === 0) return gaps.filter((_, i) => i !== index);
  return gaps.map((gap, i) => (i === index ? { ...gap, end, state: 'ended' } : gap));
}

/** From when to when bars are missing, in seconds; an open gap lasts until now. */
export function gapSeconds(gap: ChartGap, now_ms: number): [start: number, end: number] {
  const start = Number(gap.start / 1_000_000n) / 1000;
  return [start, gap.end === null ? Math.max(start, now_ms / 1000) : Number(gap.end / 1_000_000n) / 1000];
}

/** Pages of history overlap at their edges. */
export function mergeGaps(a: ChartGap[], b: ChartGap[]): ChartGap[] {
  const merged = new Map(a.map((gap) => [`${gap.start}`, gap]));
  for (const gap of b) {
    const known = merged.get(`${gap.start}`);
    merged.set(`${gap.start}`, known && known.end !== null && gap.end === null ? known : gap);
  }
  return [...merged.values()].sort((x, y) => (x.start < y.start ? -1 : x.start > y.start ? 1 : 0));
}
