import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binned } from '@/shared/figure/Histogram';
import { nearest } from '@/shared/figure/LineFigure';
import { placesOf, rangeOf, thinned, ticksOf, timeTicks } from '@/shared/figure/scale';

const finite = fc.double({ min: -1e9, max: 1e9, noNaN: true });

describe('ranges and ticks', () => {
  it.each([
    [{ low: 0, high: 10 }, 5, [0, 2, 4, 6, 8, 10]],
    [{ low: -0.6, high: 1.6 }, 4, [0, 1]],
    [{ low: 93_000, high: 120_000 }, 5, [100_000, 110_000, 120_000]],
  ])('%o is marked %i times or so', (range, count, ticks) => {
    expect(ticksOf(range, count)).toEqual(ticks);
  });

  it('marks lie within the range, ascending, and not many more than asked for', () => {
    fc.assert(
      fc.property(finite, finite, fc.integer({ min: 1, max: 20 }), (a, b, count) => {
        fc.pre(Math.abs(a - b) > 1e-6);
        const range = { low: Math.min(a, b), high: Math.max(a, b) };
        const ticks = ticksOf(range, count);
        expect(ticks.length).toBeLessThanOrEqual(count + 1);
        for (const [i, tick] of ticks.entries()) {
          expect(tick).toBeGreaterThanOrEqual(range.low - 1e-6);
          expect(tick).toBeLessThanOrEqual(range.high + 1e-6);
          if (i > 0) expect(tick).toBeGreaterThan(ticks[i - 1] ?? Number.NEGATIVE_INFINITY);
        }
      }),
    );
  });

  it('a range knows no holes, and gives a single value room', () => {
    expect(rangeOf([[null, 3, Number.NaN], [1]])).toEqual({ low: 1, high: 3 });
    expect(rangeOf([[null], []])).toBeNull();
    expect(rangeOf([[5, 5]])).toEqual({ low: 4.95, high: 5.05 });
  });

  it('places tell steps apart', () => {
    expect([1000, 1, 0.5, 0.1, 0.02].map(placesOf)).toEqual([0, 0, 1, 1, 2]);
  });

  it('times are marked at midnights, months and years of UTC', () => {
    const year = { low: Date.UTC(2026, 0, 15), high: Date.UTC(2026, 6, 1) };
    expect(timeTicks(year, 6)).toEqual({
      at: [1, 2, 3, 4, 5, 6].map((month) => Date.UTC(2026, month, 1)),
      unit: 'month',
    });
    expect(timeTicks({ low: Date.UTC(2026, 0, 1, 5), high: Date.UTC(2026, 0, 4) }, 4)).toEqual({
      at: [2, 3, 4].map((day) => Date.UTC(2026, 0, day)),
      unit: 'day',
    });
    expect(timeTicks({ low: Date.UTC(1990, 0, 1), high: Date.UTC(2026, 0, 1) }, 4).unit).toBe('year');
  });
});

it('a long list is thinned to its ends and what lies between', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 5000 }), fc.integer({ min: 2, max: 300 }), (length, most) => {
      const kept = thinned(length, most);
      expect(kept[0]).toBe(0);
      expect(kept.at(-1)).toBe(length - 1);
      expect(kept.length).toBe(Math.min(length, most));
      expect(new Set(kept).size).toBe(kept.length);
    }),
  );
});

it('every value falls into one bin, those below zero into bins below zero', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -5000, max: 5000 }), { minLength: 1, maxLength: 200 }),
      (values) => {
        const bins = binned(values, 12);
        expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(values.length);
        const lost = bins.filter(({ low }) => low < 0).reduce((sum, { count }) => sum + count, 0);
        expect(lost).toBe(values.filter((value) => value < 0).length);
      },
    ),
  );
});

it('the nearest time is found', () => {
  expect(nearest([0, 10, 20], 14)).toBe(1);
  expect(nearest([0, 10, 20], 16)).toBe(2);
  expect(nearest([0, 10, 20], -5)).toBe(0);
  expect(nearest([0, 10, 20], 99)).toBe(2);
});
