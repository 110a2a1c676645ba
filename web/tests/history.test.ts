import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { priceMarks, timeMarks } from '@/features/history/axis';
import { barAt, columnsOf, moved, zoomed } from '@/features/history/columns';
import { grainText, isOf } from '@/features/history/grain';
import {
  indexesOf,
  LEVELS,
  type Level,
  levelFor,
  REQUEST_MOST,
  readTiles,
  runsOf,
  type Tile,
  tileSpan,
} from '@/features/history/tile';
import { wholeOf } from '@/features/history/whole';

const vector = JSON.parse(readFileSync('../vectors/tile/tile.json', 'utf8'));
const SECOND = LEVELS.find(({ text }) => text === '1 second') as Level;
const RAW = LEVELS[0] as Level;

const bytesOf = (hex: string): ArrayBuffer => Uint8Array.from(Buffer.from(hex, 'hex')).buffer;

describe('tiles', () => {
  it('are read as the platform wrote them', () => {
    const [first, second] = readTiles(bytesOf(vector.tiles[0].bytes + vector.tiles[1].bytes), SECOND, 7);
    for (const [tile, { expect: said }] of [
      [first, vector.tiles[0]],
      [second, vector.tiles[1]],
    ] as const) {
      expect(tile).toMatchObject({
        priceScale: said.price_scale,
        open: said.open,
        complete: said.complete,
        grain: 0,
      });
      expect([...(tile?.at ?? [])]).toEqual(said.at_ms);
      for (const name of ['first', 'high', 'low', 'last', 'volume', 'trades'] as const)
        expect([...(tile?.[name] ?? [])], name).toEqual(said[name]);
    }
    expect([first?.index, second?.index]).toEqual([7, 8]);
  });

  it('of single trades say their nanoseconds', () => {
    const [tile] = readTiles(bytesOf(vector.raw.bytes), RAW, 1);
    expect([...(tile?.at ?? [])]).toEqual(vector.raw.at_ms);
  });

  it.each(['', '00', '544d544c02'])('bytes %s are none or an error', (hex) => {
    const read = () => readTiles(bytesOf(hex), SECOND, 0);
    if (hex === '') expect(read()).toEqual([]);
    else expect(read).toThrow('no tiles');
  });

  it('there is a bucket for every pixel and no more than six, where levels go', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 10_000, max: 1e13, noNaN: true }),
        fc.integer({ min: 300, max: 4000 }),
        (span, px) => {
          const { width } = levelFor(span, px);
          const buckets = width === 0 ? px : span / width;
          expect(buckets).toBeGreaterThanOrEqual(px - 1e-6);
          if (width >= 1000 && width < 20 * 86_400_000) expect(buckets).toBeLessThanOrEqual(6 * px);
        },
      ),
    );
  });

  it('cover a span and nothing beyond', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2e12 }), fc.integer({ min: 1, max: 1e9 }), (from, length) => {
        const found = indexesOf(SECOND, from, from + length);
        const span = tileSpan(SECOND);
        expect((found[0] as number) * span).toBeLessThanOrEqual(from);
        expect(((found.at(-1) as number) + 1) * span).toBeGreaterThanOrEqual(from + length);
        expect((found.at(-1) as number) * span).toBeLessThan(from + length);
        const runs = runsOf(found);
        expect(
          runs.flatMap(({ index, count }) => Array.from({ length: count }, (_, i) => index + i)),
        ).toEqual(found);
        expect(Math.max(...runs.map(({ count }) => count))).toBeLessThanOrEqual(REQUEST_MOST);
      }),
    );
  });
});

const tileOf = (rows: { at: number; price: number }[]): Tile => ({
  level: RAW,
  index: 0,
  at: Float64Array.from(rows, ({ at }) => at),
  first: Float64Array.from(rows, ({ price }) => price),
  high: Float64Array.from(rows, ({ price }) => price),
  low: Float64Array.from(rows, ({ price }) => price),
  last: Float64Array.from(rows, ({ price }) => price),
  volume: new Float64Array(rows.length).fill(1),
  trades: new Uint32Array(rows.length).fill(1),
  priceScale: 2,
  open: false,
  complete: true,
  grain: 0,
});

describe('words', () => {
  const DAY = 86_400_000;
  const minute = LEVELS.find(({ text }) => text === '1 minute') as Level;
  const view = { from: 0, to: DAY };
  const shown = (level: Level, grain: number) => ({
    columns: { ...columnsOf([], view, 1_000), grain },
    view,
    level,
    exact: true,
  });

  it('say how fine it is, and when nothing finer exists', () => {
    expect(grainText(null, view, 1_000, false)).toBe('loading');
    expect(grainText(shown(minute, 0), view, 1_000, false)).toBe('1 minute');
    expect(grainText(shown(minute, DAY), view, 1_000, false)).toBe('bars of 1 day, nothing finer is stored');
    expect(grainText(shown(minute, 3_600_000), view, 1_000, false)).toContain('bars of 1 hour');
  });

  it('are of a view, whichever copy of it', () => {
    expect(isOf(structuredClone(shown(minute, 0)), view)).toBe(true);
    expect(isOf(shown(minute, 0), { from: 0, to: 5 })).toBe(false);
    expect(isOf({ ...shown(minute, 0), exact: false }, view)).toBe(false);
  });

  it('say what is loading once it takes a while', () => {
    const near = { from: 0, to: 1_000_000 };
    expect(grainText(shown(minute, 0), near, 1_000, true)).toBe('1 minute, 1 second is loading');
    expect(grainText(shown(minute, 0), view, 1_000, true)).toBe('1 minute, loading');
    expect(grainText(shown(minute, DAY), near, 1_000, true)).toBe('bars of 1 day, 1 second is loading');
  });
});

describe('a bar that is wider than a pixel', () => {
  it('is read wherever it reaches', () => {
    const columns = columnsOf([{ ...tileOf([{ at: 10, price: 5 }]), grain: 20 }], { from: 0, to: 100 }, 100);
    expect([9, 10, 11, 30, 31].map((column) => barAt(columns, column, 1))).toEqual([9, 10, 10, 10, 31]);
    expect(barAt({ ...columns, grain: 0 }, 11, 1)).toBe(11);
  });
});

describe('columns', () => {
  const trades = fc.array(
    fc.record({ at: fc.integer({ min: -50, max: 1_050 }), price: fc.integer({ min: -9, max: 9 }) }),
  );

  it('hold, pixel by pixel, what every trade says', () => {
    fc.assert(
      fc.property(trades, fc.integer({ min: 1, max: 40 }), (rows, pixels) => {
        rows.sort((a, b) => a.at - b.at);
        const view = { from: 0, to: 1_000 };
        const middle = rows.length >> 1;
        const found = columnsOf([tileOf(rows.slice(0, middle)), tileOf(rows.slice(middle))], view, pixels);
        for (let pixel = 0; pixel < pixels; pixel++) {
          const under = rows
            .filter(({ at }) => at >= 0 && at < 1_000 && Math.floor((at * pixels) / 1_000) === pixel)
            .map(({ price }) => price);
          if (under.length === 0) expect(found.first[pixel]).toBeNaN();
          else
            expect([found.first[pixel], found.high[pixel], found.low[pixel], found.last[pixel]]).toEqual([
              under[0],
              Math.max(...under),
              Math.min(...under),
              under.at(-1),
            ]);
          expect(found.volume[pixel]).toBe(under.length);
        }
      }),
    );
  });

  it('leave out what lies where the view ends, however many pixels there are', () => {
    for (let pixels = 1; pixels <= 2_000; pixels++) {
      const found = columnsOf([tileOf([{ at: 1_000, price: 2 }])], { from: 0, to: 1_000 }, pixels);
      expect(found.trades).toBe(0);
    }
  });

  it('know their lowest and highest, and none where nothing is', () => {
    const view = { from: 0, to: 100 };
    const some = columnsOf(
      [
        tileOf([
          { at: 1, price: 5 },
          { at: 2, price: -3 },
        ]),
      ],
      view,
      10,
    );
    expect([some.lowest, some.highest, some.trades]).toEqual([-3, 5, 2]);
    const none = columnsOf([tileOf([{ at: 500, price: 5 }])], view, 10);
    expect(none.lowest).toBeNaN();
  });
});

describe('view', () => {
  const whole = { from: 0, to: 1e9 };

  it('keeps what is under the pointer where it is', () => {
    const view = zoomed({ from: 4e8, to: 6e8 }, 0.5, 0.25, whole);
    expect(view.from + (view.to - view.from) * 0.25).toBeCloseTo(4.5e8);
    expect(view.to - view.from).toBeCloseTo(1e8);
  });

  it('never leaves what there is', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.boolean(),
            fc.double({ min: 0.2, max: 4, noNaN: true }),
            fc.double({ min: 0, max: 1, noNaN: true }),
          ),
        ),
        (steps) => {
          let view = whole;
          for (const [zooms, amount, place] of steps)
            view = zooms ? zoomed(view, amount, place, whole) : moved(view, amount - 2, whole);
          const middle = (view.from + view.to) / 2;
          expect(middle).toBeGreaterThanOrEqual(whole.from - 1);
          expect(middle).toBeLessThanOrEqual(whole.to + 1);
          expect(view.to).toBeGreaterThan(view.from);
        },
      ),
    );
  });

  it('begins with everything that has a price', () => {
    const sets = [
      { kind: 'levels', start: '0', end: '9000000000000000' },
      { kind: 'bars', start: '1000000000000', end: '5000000000000' },
      { kind: 'trades', start: '2000000000000', end: '6000000000000' },
    ];
    const found = wholeOf(sets, 1e12);
    expect(found?.from).toBeCloseTo(1e6 - 5e4);
    expect(found?.to).toBeCloseTo(6e6 + 5e4);
    expect(wholeOf(sets.slice(0, 1), 0)).toBeNull();
  });
});

describe('axes', () => {
  it.each([1e3, 6e4, 3.6e6, 8.64e7, 6e8, 3e9, 3e10, 3e11, 1.5e12])(
    'time marks of %d ms stand apart',
    (span) => {
      const view = { from: 1.7e12, to: 1.7e12 + span };
      const marks = timeMarks(view, 1000, 'UTC');
      expect(marks.length).toBeGreaterThanOrEqual(1);
      expect(marks.length).toBeLessThanOrEqual(10);
      expect(new Set(marks.map(({ text }) => text)).size).toBe(marks.length);
    },
  );

  it('price marks are round and within', () => {
    expect(priceMarks(63_950, 64_250, 300)).toEqual([64_000, 64_100, 64_200]);
    expect(priceMarks(5, 5, 300)).toEqual([5]);
    expect(priceMarks(Number.NaN, Number.NaN, 300)).toEqual([]);
  });
});
