import { expect, it } from 'vitest';
import type { ChartGap } from '@/features/chart/gap';
import { axisPosition, emptyPlaces, hatchRanges, nextEmptyPlace } from '@/features/chart/gap-place';
import { colors } from '@/theme/themes';

const gap = (start_s: number, end_s: number | null, state: ChartGap['state'] = 'ended'): ChartGap => ({
  key: `${start_s}`,
  cause: 'disconnect',
  start: BigInt(start_s) * 1_000_000_000n,
  end: end_s === null ? null : BigInt(end_s) * 1_000_000_000n,
  state: end_s === null ? 'open' : state,
});

it('a gap has its width on the axis, and a gap of days no more than an hour of minutes', () => {
  expect(emptyPlaces([gap(70, 200)], 0, 60, 0)).toEqual([60, 120, 180]);
  expect(emptyPlaces([gap(0, 864_000)], 0, 60, 0)).toHaveLength(60);
  expect(emptyPlaces([gap(70, 200)], 120, 60, 0)).toEqual([120, 180]);
});

it('an open gap grows by a place with every bar that does not come, for a while', () => {
  expect(nextEmptyPlace([gap(60, 70)], 60, 60, 200_000)).toBeNull();
  expect(nextEmptyPlace([gap(60, null)], 60, 60, 200_000)).toBe(180);
  expect(nextEmptyPlace([gap(60, null)], 180, 60, 200_000)).toBeNull();
  expect(nextEmptyPlace([gap(60, null)], 180, 60, 86_400_000)).toBeNull();
});

it('a time lies inside its bar, and none before the first', () => {
  const times = [0, 60, 120];
  expect(axisPosition(times, 60, 60)).toBe(0.5);
  expect(axisPosition(times, 60, 90)).toBe(1);
  expect(axisPosition(times, 60, 900)).toBe(2.5);
  expect(axisPosition(times, 60, -1)).toBeNull();
});

it('says in words what a gap is, in the zone of the screen', () => {
  const look = { colors: colors('dark'), zone: 'Asia/Tokyo' };
  const words = (of: ChartGap) => hatchRanges([of], [0, 60, 120], 60, 130_000, look)[0];
  expect(words(gap(60, null))?.label).toBe('gap open since 09:01:00');
  expect(words(gap(60, 70, 'filled'))).toMatchObject({
    label: '09:01:00–09:01:10 repaired',
    color: look.colors['state.repaired'],
  });
  expect(words(gap(60, 70, 'unfillable'))?.label).toBe('09:01:00–09:01:10 cannot be filled');
  expect(hatchRanges([gap(-50, -20)], [0], 60, 0, look)).toEqual([]);
});
