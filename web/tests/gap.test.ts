import { describe, expect, it } from 'vitest';
import { gapsOfBars, mergeGaps, withStreamGap } from '@/features/chart/gap';
import type { StreamGap } from '@/shared/stream-core';

const edge = (change: Partial<StreamGap>): StreamGap => ({
  instrument: 'X',
  venue: 'v',
  channel: 'trades',
  cause: 'disconnect',
  edge: 'open',
  ts_event: '1000',
  missing: -1,
  gap: [1, 7],
  origin: 'venue',
  ...change,
});

describe('gaps on a chart', () => {
  it('an opening and its end from the stream are one gap', () => {
    const open = withStreamGap([], edge({}));
    expect(open).toMatchObject([{ start: 1000n, end: null, state: 'open' }]);
    const ended = withStreamGap(open, edge({ edge: 'end', ts_event: '5000' }));
    expect(ended).toMatchObject([{ start: 1000n, end: 5000n, state: 'ended' }]);
  });

  it('the end of an opening that history named closes it', () => {
    const history = gapsOfBars([
      { channel: 'trades', cause: 'disconnect', start: '1000', end: null, missing: -1, state: 'open' },
    ]);
    expect(withStreamGap(history, edge({}))).toBe(history);
    expect(withStreamGap(history, edge({ edge: 'end', ts_event: '5000' }))).toMatchObject([{ end: 5000n }]);
  });

  it('holes of the book, and of the way to this screen, do not touch bars', () => {
    expect(withStreamGap([], edge({ channel: 'book' }))).toEqual([]);
    expect(withStreamGap([], edge({ origin: 'stream' }))).toEqual([]);
  });

  it('pages overlap: an end that is known is kept', () => {
    const gap = { channel: 'all', cause: 'stall', start: '1000', missing: 3 };
    const known = gapsOfBars([{ ...gap, end: '2000', state: 'filled' }]);
    const older = gapsOfBars([{ ...gap, end: null, state: 'open' }]);
    expect(mergeGaps(known, older)).toMatchObject([{ end: 2000n, state: 'filled' }]);
    expect(mergeGaps(older, known)).toMatchObject([{ end: 2000n, state: 'filled' }]);
  });

  it('a break in which the venue lost nothing is no hole', () => {
    const open = withStreamGap([], edge({}));
    expect(withStreamGap(open, edge({ edge: 'end', ts_event: '1000', missing: 0 }))).toEqual([]);
    const gap = { channel: 'trades', cause: 'disconnect', start: '1000', state: 'open' as const };
    expect(gapsOfBars([{ ...gap, end: '1000', missing: 0 }])).toEqual([]);
    expect(gapsOfBars([{ ...gap, end: null, missing: 0 }])).toHaveLength(1);
  });
});
