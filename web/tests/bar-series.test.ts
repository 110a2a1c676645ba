import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Bars } from '@/api/types';
import { type Bar, BarSeries } from '@/features/chart/bar-series';
import { decimalText } from '@/shared/decimal';
import { INTERVALS, type Interval, intervalSeconds, readInterval } from '@/shared/interval';

const SECOND = 1_000_000_000n;

interface Trade {
  epoch: number;
  sequence: number;
  ts_event: string;
  price: string;
  size: string;
}

/** The slow and obvious way: all trades of a bar at once, sorted by (venue's time, sequence). */
function naive(trades: Trade[], interval: Interval) {
  const width = BigInt(intervalSeconds(interval)) * SECOND;
  const groups = new Map<bigint, Trade[]>();
  for (const trade of trades) {
    const start = (BigInt(trade.ts_event) / width) * width;
    groups.set(start, [...(groups.get(start) ?? []), trade]);
  }
  const units = (text: string, scale: number) => {
    const [whole = '0', fraction = ''] = text.split('.');
    return BigInt(whole + fraction.padEnd(scale, '0'));
  };
  return [...groups]
    .sort((a, b) => (a[0] < b[0] ? -1 : 1))
    .map(([start, group]) => {
      const ordered = [...group].sort((a, b) =>
        BigInt(a.ts_event) === BigInt(b.ts_event)
          ? a.sequence - b.sequence
          : BigInt(a.ts_event) < BigInt(b.ts_event)
            ? -1
            : 1,
      );
      const prices = ordered.map(({ price }) => units(price, 2));
      return {
        start: Number(start / SECOND),
        open: prices[0],
        high: prices.reduce((a, b) => (b > a ? b : a)),
        low: prices.reduce((a, b) => (b < a ? b : a)),
        close: prices.at(-1),
        volume: ordered.reduce((sum, { size }) => sum + units(size, 4), 0n),
        trades: ordered.length,
      };
    });
}

const shape = ({ first: _first, last: _last, ...bar }: Bar) => bar;

/** The platform's answer for the trades up to and with `through`. */
function page(trades: Trade[], interval: Interval, through: number, nowSeconds: number): Bars {
  const bars = naive(
    trades.filter((trade) => trade.sequence <= through),
    interval,
  );
  const open = bars.at(-1);
  const isOpen = open !== undefined && open.start + intervalSeconds(interval) > nowSeconds;
  const closed = isOpen ? bars.slice(0, -1) : bars;
  const price = (value: bigint | undefined) => Number(decimalText(value ?? 0n, 2));
  const size = (value: bigint) => Number(decimalText(value, 4));
  const ns = (start: number) => String(BigInt(start) * SECOND);
  return {
    instrument: 'X',
    interval,
    ts: closed.map((bar) => ns(bar.start)),
    open: closed.map((bar) => price(bar.open)),
    high: closed.map((bar) => price(bar.high)),
    low: closed.map((bar) => price(bar.low)),
    close: closed.map((bar) => price(bar.close)),
    volume: closed.map((bar) => size(bar.volume)),
    trades: closed.map((bar) => bar.trades),
    revision: closed.map(() => 0),
    current:
      isOpen && open
        ? {
            ts: ns(open.start),
            open: price(open.open),
            high: price(open.high),
            low: price(open.low),
            close: price(open.close),
            volume: size(open.volume),
            trades: open.trades,
          }
        : null,
    settling: 0,
    through: { epoch: 1, sequence: through },
    complete: true,
    gaps: [],
    next: null,
  };
}

/** Trades in arrival order; the venue's time runs on, now and then backwards where `late` allows. */
const market = (late: boolean) =>
  fc
    .array(
      fc.record({
        step_ms: late ? fc.integer({ min: -4_000, max: 9_000 }) : fc.integer({ min: 0, max: 9_000 }),
        price: fc.integer({ min: 1, max: 10_000_000 }),
        size: fc.integer({ min: 1, max: 100_000_000 }),
      }),
      { minLength: 1, maxLength: 120 },
    )
    .map((rows) => {
      let ms = 1_763_640_000_000;
      return rows.map(({ step_ms, price, size }, i): Trade => {
        ms += step_ms;
        return {
          epoch: 1,
          sequence: 10 + i * 3,
          ts_event: String(BigInt(ms) * 1_000_000n), // equal times do occur: the sequence decides
          price: decimalText(BigInt(price), 2),
          size: decimalText(BigInt(size), 4),
        };
      });
    });

const interval = fc.constantFrom(...INTERVALS);

describe('joining history and stream', () => {
  it('ends in the bars of all trades, wherever the join is and however much is sent twice', () => {
    fc.assert(
      fc.property(market(false), interval, fc.nat(), fc.nat(), fc.nat(), (trades, width, a, b, c) => {
        const join = a % trades.length; // history is built through this trade
        const begin = b % (trades.length + 1); // the first trade that is streamed
        const arrival = begin + (c % (trades.length + 1 - begin)); // history arrives before this one
        const position = (i: number) => ({ epoch: 1, sequence: trades[i]?.sequence ?? 0 });
        const last = Number(BigInt(trades[join]?.ts_event ?? '0') / SECOND);
        const series = new BarSeries(width, 2, 4);
        series.begin(position(begin - 1));
        for (const trade of trades.slice(begin, arrival)) series.trade(trade);
        const joined = series.load(page(trades, width, position(join).sequence, last));
        expect(joined).toBe(begin - 1 <= join);
        let next = arrival;
        if (!joined) {
          series.begin(position(join)); // asked for again from there
          next = join + 1;
        }
        for (const trade of trades.slice(next)) series.trade(trade);
        for (const trade of trades) series.trade(trade); // whatever is sent twice
        expect(series.bars.map(shape)).toEqual(naive(trades, width));
      }),
    );
  });

  it('streamed alone, late trades end in the same bars as in order', () => {
    fc.assert(
      fc.property(market(true), interval, (trades, width) => {
        const series = new BarSeries(width, 2, 4);
        series.load({ ...page([], width, 0, 0), through: { epoch: 1, sequence: 0 } });
        for (const trade of trades) series.trade(trade);
        expect(series.bars.map(shape)).toEqual(naive(trades, width));
        expect(series.uncertain).toBe(false);
      }),
    );
  });

  it('a late trade into a bar of history asks for history again', () => {
    const series = new BarSeries('1m', 2, 4);
    const trade = (sequence: number, seconds: number, price: string): Trade => ({
      epoch: 1,
      sequence,
      ts_event: String(BigInt(seconds) * SECOND),
      price,
      size: '1.0000',
    });
    const before = [trade(1, 60, '10.00'), trade(2, 119, '11.00')];
    series.load(page(before, '1m', 2, 1_000));
    series.trade(trade(3, 125, '12.00'));
    series.trade(trade(4, 90, '99.00'));
    expect(series.uncertain).toBe(true);
    expect(series.bars[0]).toMatchObject({ high: 9900n, close: 1100n, volume: 30000n, trades: 3 });
    series.load(page([...before, trade(3, 125, '12.00'), trade(4, 90, '99.00')], '1m', 4, 126));
    expect(series.uncertain).toBe(false);
  });

  it('positions of a later epoch come after all of an earlier one', () => {
    const series = new BarSeries('1m', 2, 4);
    series.load({ ...page([], '1m', 0, 0), through: { epoch: 2, sequence: 50 } });
    const row = { ts_event: '60000000000', price: '1.00', size: '1.0000' };
    expect(series.trade({ ...row, epoch: 1, sequence: 90 })).toBe(-1);
    expect(series.trade({ ...row, epoch: 2, sequence: 50 })).toBe(-1);
    expect(series.trade({ ...row, epoch: 2, sequence: 51 })).toBe(0);
  });

  it('a finer price moves every bar to the finer scale', () => {
    const series = new BarSeries('1s', 1, 1);
    series.load({ ...page([], '1s', 0, 0), through: { epoch: 1, sequence: 0 } });
    series.trade({ epoch: 1, sequence: 1, ts_event: '0', price: '10.5', size: '0.1' });
    series.trade({ epoch: 1, sequence: 2, ts_event: '1000000000', price: '10.525', size: '0.25' });
    expect(series.priceScale).toBe(3);
    expect(series.bars.map(({ close, volume }) => [close, volume])).toEqual([
      [10500n, 10n],
      [10525n, 25n],
    ]);
  });

  it('sums volume without the error of floats', () => {
    const series = new BarSeries('1m', 0, 1);
    series.load({ ...page([], '1m', 0, 0), through: { epoch: 1, sequence: 0 } });
    for (let i = 1; i <= 10_000; i++)
      series.trade({ epoch: 1, sequence: i, ts_event: '0', price: '1', size: '0.1' });
    expect(series.bars[0]?.volume).toBe(10_000n);
  });

  it('older pages come before and never twice', () => {
    const series = new BarSeries('1s', 2, 4);
    const trades = Array.from(
      { length: 10 },
      (_, i): Trade => ({
        epoch: 1,
        sequence: i + 1,
        ts_event: String(BigInt(i) * SECOND),
        price: '1.00',
        size: '1.0000',
      }),
    );
    series.load(page(trades.slice(5), '1s', 10, 100));
    expect(series.prepend(page(trades.slice(0, 7), '1s', 10, 100))).toBe(5);
    expect(series.bars.map((bar) => bar.start)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('an interval without prices is no bar', () => {
    const series = new BarSeries('1s', 2, 4);
    const gap = page([], '1s', 0, 0);
    series.load({
      ...gap,
      ts: ['0'],
      open: [null],
      high: [null],
      low: [null],
      close: [null],
      volume: [0],
      trades: [0],
    });
    expect(series.bars).toEqual([]);
  });
});

it.each([
  ['5', '5m'],
  ['60', '1h'],
  ['4h', '4h'],
  ['1D', '1d'],
  ['1s', '1s'],
  ['240', '4h'],
  ['7', null],
  ['x', null],
])('typed %s means %s', (text, meant) => {
  expect(readInterval(text)).toBe(meant);
});
