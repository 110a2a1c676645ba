import { describe, expect, it } from 'vitest';
import type { Backtest, BacktestComparison, BacktestTable } from '@/api/types';
import { bestOf, curvesOf, differenceOf, styleOf } from '@/features/run/compare';
import { feesOf, heldOf, reasonsOf, returnsOf, rollingOf, windowOf, yearsOf } from '@/features/run/series';
import { pythonOf } from '@/features/run/snippet';
import { axesOf, centreOf, mapOf, type Trial, zoneOf } from '@/features/study/study';
import { ofRun } from '@/shared/begin';

const DAY = 86_400_000;

const table = (columns: BacktestTable['columns']): BacktestTable => ({ rows: 0, columns, next: null });

describe('runs beside each other', () => {
  it('mark the best cell by the direction that is better', () => {
    expect(bestOf([0.1, 0.3, null, 0.3], 'more')).toEqual([1, 3]);
    expect(bestOf([0.2, 0.1], 'less')).toEqual([1]);
    expect(bestOf([0.2, 0.1], 'neither')).toEqual([]);
    expect(bestOf([0.2, 0.2], 'more')).toEqual([]);
    expect(bestOf([0.2, null], 'more')).toEqual([]);
  });

  it('start at 100, and fall from their own heights', () => {
    const told = {
      ts: ['0', '1000000'],
      growth: [
        [1, 0.9],
        [null, 1],
      ],
    } as unknown as BacktestComparison;
    const { growth, under } = curvesOf(told);
    expect(growth).toEqual([
      [100, 90],
      [null, 100],
    ]);
    expect(under[0]?.[1]).toBeCloseTo(-10);
    expect(under[1]).toEqual([null, 0]);
  });

  it('are told apart, twenty of them', () => {
    expect(new Set(Array.from({ length: 20 }, (_, i) => JSON.stringify(styleOf(i)))).size).toBe(20);
    expect(differenceOf('param fast')).toEqual({ kind: 'Parameters', title: 'fast' });
    expect(differenceOf('code').kind).toBe('Code');
  });
});

describe('what is drawn of a run', () => {
  it('has the position after each fill, with its mean price', () => {
    const held = heldOf(
      table({
        ts: ['1', '2', '3', '4', '5'],
        instrument: ['a', 'a', 'a', 'a', 'a'],
        side: ['buy', 'buy', 'sell', 'sell', 'buy'],
        size: ['1', '1', '1', '3', '2'],
        price: ['10', '20', '30', '40', '50'],
      }),
    );
    expect(held.map(({ position }) => position)).toEqual([1, 2, 1, -2, 0]);
    expect(held.map(({ entry }) => entry)).toEqual([10, 15, 15, 40, null]);
  });

  it('sums fees, and counts why orders were not done', () => {
    expect(feesOf(table({ ts: ['1', '2'], fee: ['1.5', '2'] })).paid).toEqual([1.5, 3.5]);
    const orders = table({ state: ['filled', 'refused', 'refused'], reason: [null, 'no_cash', 'no_cash'] });
    expect(reasonsOf(orders)).toEqual([['refused: no cash', 2]]);
  });

  it('has years whose growth makes the whole', () => {
    const from = Date.UTC(2025, 11, 30);
    const curve = {
      times: [0, 1, 2, 3].map((i) => from + i * DAY),
      equity: [100, 110, 121, 60.5],
      benchmark: [],
      drawdown: [],
    };
    const years = yearsOf(curve);
    expect(years.map(({ year }) => year)).toEqual([2025, 2026]);
    expect(years.reduce((all, { growth }) => all * (1 + growth), 1)).toBeCloseTo(0.605);
    expect(returnsOf(curve.equity)[2]).toBeCloseTo(-0.5);
  });

  it('has a window that moves: beta 2 of what moves twice as much', () => {
    const moves = Array.from({ length: 20 }, (_, i) => (i % 2 ? 0.01 : -0.005));
    const grown = (times: number) => {
      const all = [1];
      for (const move of moves) all.push((all.at(-1) ?? 1) * (1 + move * times));
      return all;
    };
    const rolling = rollingOf(
      { times: grown(1).map((_, i) => i * DAY), equity: grown(2), benchmark: grown(1), drawdown: [] },
      365,
    );
    expect(rolling.days).toBe(windowOf(20));
    expect(rolling.times).toHaveLength(20 - rolling.days + 1);
    for (const beta of rolling.beta) expect(beta).toBeCloseTo(2);
  });
});

describe('a study', () => {
  const trial = (number: number, fast: number, slow: number, sharpe: number): Trial => ({
    part: 'all',
    number,
    state: 'done',
    params: { fast, slow, kept: 1 },
    values: [sharpe],
    metrics: { sharpe },
    error: null,
  });
  const trials = [1, 2, 3].flatMap((fast, i) =>
    [10, 20, 30].map((slow, j) =>
      trial(
        i * 3 + j,
        fast,
        slow,
        fast === 3 && slow === 10 ? 2 : fast < 3 && slow > 10 ? 1.5 - j * 0.1 : -1,
      ),
    ),
  );

  it('varies what has several values, and maps a number by two of them', () => {
    const axes = axesOf(trials);
    expect([...axes.keys()]).toEqual(['fast', 'slow']);
    expect(mapOf(trials, 'sharpe', 'fast', 'slow', axes)[0]).toEqual([-1, -1, 2]);
  });

  it('has a zone of cells that hold together, and a trial in its middle', () => {
    const axes = axesOf(trials);
    const zone = zoneOf(mapOf(trials, 'sharpe', 'fast', 'slow', axes));
    expect(zone?.place).toEqual([0, 1, 1, 2]);
    expect(zone?.low).toBeCloseTo(1.3);
    const centre = zone && centreOf(zone, trials, 'fast', 'slow', axes);
    expect(centre?.params).toMatchObject({ slow: 20 });
    expect(
      zoneOf([
        [-1, -2],
        [-1, null],
      ]),
    ).toBeNull();
    expect(zoneOf([[2, 2]])).toBeNull();
  });
});

it('a clone asks what the run was asked, by whole days', () => {
  const run = {
    id: 'abcdef',
    strategy: 'sma_cross',
    instruments: ['A', 'B'],
    interval: '1h',
    engine: 'fast',
    start: '1767225600000000000',
    end: '1767312000000000000',
    params: { fast: 5, on: true },
    settings: { cash: '5', costs: { taker: '0.1', slippage_ticks: 2 }, limit_fill: 'through' },
  } as unknown as Backtest;
  expect(ofRun(run)).toMatchObject({
    start: '2026-01-01',
    end: '2026-01-01',
    texts: { fast: '5', on: 'true' },
    cash: '5',
    engine: 'fast',
    costs: { taker: '0.1' },
    also: { limit_fill: 'through', slippage_ticks: 2 },
  });
  expect(pythonOf(run)).toContain('td.backtest(\n    "sma_cross", ["A","B"], "1h",');
  expect(pythonOf(run)).toContain('    on=True,');
});
