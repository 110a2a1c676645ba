import { describe, expect, it } from 'vitest';
import type { CollectionStatus, CollectorStatus, Gap } from '@/api/types';
import { asUnknown, baseNames, freshnessOf, orderedGaps } from '@/features/collection/collection';
import { niceTicks, PLACES, stack } from '@/features/collection/rate';

const NOW_MS = 1_000_000_000;

function collector(venue: string, rates: Record<number, number>): CollectorStatus {
  const history = Object.entries(rates).map(([age_s, messages_per_s]) => ({
    ts: String(BigInt(NOW_MS - Number(age_s) * 1000) * 1_000_000n),
    messages_per_s,
  }));
  return { venue, history } as unknown as CollectorStatus;
}

describe('rates, stacked', () => {
  it('a time when nothing was measured is a hole, not a fall to zero', () => {
    const { runs } = stack([collector('a', { 1: 5, 6: 5, 21: 5 }), collector('b', { 1: 7, 6: 7 })], NOW_MS);
    expect(runs).toEqual([
      [PLACES - 5, PLACES - 5],
      [PLACES - 2, PLACES - 1],
    ]);
  });

  it('a venue that is not measured adds nothing to those that are', () => {
    const { layers } = stack(
      [collector('a', { 1: 5 }), collector('b', {}), collector('c', { 1: 7 })],
      NOW_MS,
    );
    expect(layers.map(({ top }) => top.at(-1))).toEqual([5, 5, 12]);
    expect(layers[2]?.base.at(-1)).toBe(5);
  });

  it('ticks are round and begin at zero', () => {
    expect(niceTicks(304)).toEqual([0, 200]);
    expect(niceTicks(1000)).toEqual([0, 500, 1000]);
  });
});

it('of a status that is not renewed no feed is called live', () => {
  const status = {
    collectors: [{ venue: 'a', state: 'live', messages_per_s: 5 }],
    parts: [{ part: 'bridge', state: 'live' }],
    pipeline: {},
  } as unknown as CollectionStatus;
  const unknown = asUnknown(status);
  expect(unknown.collectors.map(({ state }) => freshnessOf(state))).toEqual(['unknown']);
  expect(unknown.parts.map(({ state }) => freshnessOf(state))).toEqual(['unknown']);
  expect(unknown.collectors[0]?.messages_per_s).toBe(5);
});

it('gaps of one moment stand in one order, however they come', () => {
  const gap = (opened_at: string, instrument: string | null, channel: string) =>
    ({ opened_at, instrument, channel }) as Gap;
  const gaps = [
    gap('9', 'B', 'book'),
    gap('10', null, 'all'),
    gap('9', 'A', 'trades'),
    gap('9', 'B', 'bars'),
  ];
  const names = (list: Gap[]) => list.map(({ instrument, channel }) => `${instrument} ${channel}`);
  const ordered = ['null all', 'A trades', 'B bars', 'B book'];
  expect(names(orderedGaps(gaps))).toEqual(ordered);
  expect(names(orderedGaps([...gaps].reverse()))).toEqual(ordered);
});

it('names are whole whether the collector says them with their venue or without', () => {
  const names = (instruments: string[]) => baseNames({ venue: 'sim-kraken', instruments } as CollectorStatus);
  expect(names(['BTC-USD.sim-kraken', 'ETH-USD.sim-kraken'])).toEqual(['BTC-USD', 'ETH-USD']);
  expect(names(['BTC-USD', 'BRK.B-USD'])).toEqual(['BTC-USD', 'BRK.B-USD']);
});
