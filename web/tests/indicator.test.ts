// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CalculatedSeries, IndicatorParam } from '@/api/types';
import {
  addIndicator,
  changeIndicator,
  indicatorLabel,
  MOST,
  paramError,
  rangeText,
  readIndicators,
  removeIndicator,
  showIndicators,
  useIndicators,
  valueText,
  writeIndicators,
} from '@/features/chart/indicator';
import { IndicatorFeed } from '@/features/chart/indicator-feed';
import { IndicatorSocket } from '@/features/chart/indicator-socket';

const period: IndicatorParam = { name: 'period', kind: 'int', default: 14, low: 1, high: 100_000 };

beforeEach(() => useIndicators.setState({ added: [] }));

describe('which are on the chart', () => {
  it('adds, changes, hides and removes', () => {
    expect(addIndicator('rsi', { period: 14 })).toBe(true);
    addIndicator('ema', { period: 50 });
    const [rsi, ema] = useIndicators.getState().added;
    changeIndicator(rsi?.key ?? 0, { params: { period: 9 } });
    changeIndicator(ema?.key ?? 0, { hidden: true });
    expect(useIndicators.getState().added).toEqual([
      { key: 1, name: 'rsi', params: { period: 9 }, hidden: false },
      { key: 2, name: 'ema', params: { period: 50 }, hidden: true },
    ]);
    removeIndicator(1);
    expect(writeIndicators(useIndicators.getState().added)).toBe('ema(period:50)');
  });

  it('has room for so many', () => {
    for (let i = 0; i < MOST; i++) expect(addIndicator('obv', {})).toBe(true);
    expect(addIndicator('obv', {})).toBe(false);
  });

  it('is written in the address and read from it', () => {
    const text = 'rsi(period:14);obv;talib:BBANDS(timeperiod:5,nbdevup:2.5)';
    expect(writeIndicators(readIndicators(text))).toBe(text);
    for (const wrong of ['', '(', 'rsi(period)', 'rsi(period:x)', 'rsi(period:)', '<script>', 'a b'])
      expect(readIndicators(wrong)).toEqual([]);
  });

  it('keeps what an address names again', () => {
    addIndicator('rsi', { period: 14 });
    addIndicator('obv', {});
    showIndicators(readIndicators('ema(period:5);rsi(period:14)'));
    expect(useIndicators.getState().added.map(({ key, name }) => [key, name])).toEqual([
      [3, 'ema'],
      [1, 'rsi'],
    ]);
  });
});

it('refuses what is no value of a parameter', () => {
  for (const good of ['1', '14', '100000', ' 7 ']) expect(paramError(period, good)).toBeNull();
  for (const bad of ['', 'x', '0', '100001', '1.5', 'NaN', 'Infinity'])
    expect(paramError(period, bad)).not.toBeNull();
  expect(rangeText(period)).toBe('1 to 100,000');
  expect(paramError({ ...period, low: null, high: null }, '-5')).toBeNull();
});

it('writes names and values as people do', () => {
  expect(indicatorLabel({ name: 'ema', params: { period: 20 } })).toBe('EMA 20');
  expect(indicatorLabel({ name: 'rolling_vwap', params: {} })).toBe('Rolling vwap');
  expect(valueText(64231.456, 1)).toBe('64,231.5');
  expect(valueText(-2.4445, null)).toBe('\u22122.44');
  expect(valueText(0.001234, null)).toBe('0.00123');
  expect(valueText(null, null)).toBe('\u2014');
});

class Wire {
  static all: Wire[] = [];
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: Record<string, unknown>[] = [];
  constructor() {
    Wire.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {}
  says(message: Record<string, unknown>) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const NS = 1_000_000_000n;
const ns = (s: number): string => String(BigInt(s) * NS);

function page(from_s: number, to_s: number, more: Partial<CalculatedSeries> = {}): CalculatedSeries {
  const times = Array.from({ length: (to_s - from_s) / 60 }, (_, i) => from_s + i * 60);
  return {
    instrument: 'BTC-USD.sim-kraken',
    interval: '1m',
    ts: times.map(ns),
    indicators: [
      {
        indicator: 'rsi',
        params: { period: 14 },
        outputs: [{ name: 'rsi', draw: 'line', pane: 'own', first: 14, shift: 0 }],
        memory: 'fading',
        warm_up: 388,
        began: ns(0),
        current: null,
        values: { rsi: times.map((at) => at / 10) },
      },
    ],
    current: null,
    through: null,
    complete: true,
    gaps: [],
    next: 'more',
    ...more,
  };
}

describe('values on a chart', () => {
  beforeEach(() => {
    Wire.all = [];
    vi.useFakeTimers();
  });
  afterEach(() => void vi.useRealTimers());
  const made = (calculate: (body: Record<string, unknown>) => CalculatedSeries) => {
    const socket = new IndicatorSocket(() => new Wire() as unknown as WebSocket);
    const asked: Record<string, unknown>[] = [];
    const feed = new IndicatorFeed(
      { instrument: 'BTC-USD.sim-kraken', interval: '1m' },
      { name: 'rsi', params: { period: 14 } },
      () => undefined,
      (body) => {
        asked.push(body);
        return Promise.resolve(calculate(body));
      },
      socket,
    );
    return { feed, asked };
  };

  it('reads history, goes on where it ends, and takes what moves', async () => {
    const { feed } = made(() => page(6000, 12_000));
    await vi.advanceTimersByTimeAsync(1);
    expect(feed.phase).toBe('ready');
    const wire = Wire.all[0] as Wire;
    wire.says({ type: 'hello' });
    expect(wire.sent[0]).toMatchObject({ op: 'subscribe', id: 1, indicator: 'rsi', start: ns(11_940) });
    wire.says({ type: 'value', id: 1, ts: ns(12_000), closed: false, values: { rsi: 1 } });
    wire.says({ type: 'value', id: 1, ts: ns(12_000), closed: false, values: { rsi: 2 } });
    expect(feed.newest).toEqual({ rsi: 2 });
    wire.says({ type: 'value', id: 1, ts: ns(12_000), closed: true, values: { rsi: 3 } });
    expect(feed.at(12_000)).toEqual({ rsi: 3 });
    expect(feed.times.length).toBe(101);
    // A late trade: what is said again from a bar on replaces what was there.
    wire.says({ type: 'snapshot', id: 1, ts: [ns(11_940), ns(12_000)], values: { rsi: [7, null] } });
    expect([feed.at(11_940), feed.at(12_000), feed.times.length]).toEqual([{ rsi: 7 }, { rsi: null }, 101]);
    feed.close();
  });

  it('asks again where it stands once a connection is cut', async () => {
    const { feed } = made(() => page(6000, 12_000));
    await vi.advanceTimersByTimeAsync(1);
    Wire.all[0]?.says({ type: 'hello' });
    Wire.all[0]?.says({ type: 'value', id: 1, ts: ns(12_000), closed: true, values: { rsi: 3 } });
    Wire.all[0]?.onclose?.();
    await vi.advanceTimersByTimeAsync(2_000);
    Wire.all[1]?.says({ type: 'hello' });
    expect(Wire.all[1]?.sent[0]).toMatchObject({ op: 'subscribe', start: ns(12_000) });
    feed.close();
  });

  it('reads older pages as far as bars are shown', async () => {
    const { feed, asked } = made((body) =>
      body.end === undefined ? page(6000, 12_000) : page(3000, 6000, { next: null }),
    );
    await vi.advanceTimersByTimeAsync(1);
    feed.reach(6000);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.length).toBe(1);
    feed.reach(3000);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked[1]).toMatchObject({ end: ns(6000) });
    expect([feed.times[0], feed.times.length, feed.columns.rsi?.length]).toEqual([3000, 150, 150]);
    feed.reach(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.length).toBe(2);
    feed.close();
  });

  it('begins everywhere where the first answer began, if it remembers everything', async () => {
    const answer = page(6000, 12_000);
    for (const one of answer.indicators) Object.assign(one, { memory: 'whole', began: ns(60) });
    const { feed, asked } = made(() => answer);
    await vi.advanceTimersByTimeAsync(1);
    Wire.all[0]?.says({ type: 'hello' });
    expect(Wire.all[0]?.sent[0]).toMatchObject({ since: ns(60) });
    feed.reach(3000);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked[1]).toMatchObject({ since: ns(60) });
    feed.close();
  });

  it('says no more in a second than the platform takes', () => {
    const socket = new IndicatorSocket(() => new Wire() as unknown as WebSocket);
    const listener = { from: () => undefined, snapshot() {}, value() {}, error() {} };
    const request = { instrument: 'a', interval: '1m', indicator: 'rsi', params: {} };
    const leave = Array.from({ length: 30 }, () => socket.subscribe(request, listener));
    Wire.all[0]?.says({ type: 'hello' });
    expect(Wire.all[0]?.sent.length).toBe(15);
    for (const one of leave.slice(20)) one(); // were never asked for
    vi.advanceTimersByTime(1_500);
    expect(Wire.all[0]?.sent.length).toBe(20);
    for (const one of leave) one();
  });
});
