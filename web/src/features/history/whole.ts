// From when to when there is something to see.

import { msOfNs } from '@/shared/format';
import type { View } from './columns';

/** The span of what is stored, a little wider than it; null where nothing is. */
export function wholeOf(
  datasets: readonly { kind: string; start: string | null; end: string | null }[],
  now_ms: number,
): View | null {
  const priced = datasets.filter(({ kind }) => kind === 'bars' || kind === 'trades');
  const starts = priced.flatMap(({ start }) => (start === null ? [] : [msOfNs(start)]));
  const ends = priced.flatMap(({ end }) => (end === null ? [] : [msOfNs(end)]));
  if (starts.length === 0 || ends.length === 0) return null;
  const from = Math.min(...starts);
  // What has arrived since the last commit is not in the catalogue yet, but in the tiles.
  const last = Math.max(...ends);
  const to = now_ms - last < 10 * 60_000 && now_ms > last ? now_ms : last;
  const room = Math.max(1_000, (to - from) * 0.01);
  return { from: from - room, to: to + room };
}
