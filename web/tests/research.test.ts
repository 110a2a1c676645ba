import { describe, expect, it } from 'vitest';
import type { BacktestTable, StrategyParam } from '@/api/types';
import { curveOf, fallsOf, monthsOf, paramsText } from '@/features/run/run';
import { linesOf, rangeFault, rangeOf, spaceOf } from '@/features/study/study';
import { fits, rangeText, valuesOf } from '@/shared/ParamFields';
import { spanOf } from '@/shared/ResearchForm';

const DAY = 86_400_000;
const day = (text: string): number => Date.parse(`${text}T00:00:00Z`);
const ns = (ms: number): string => `${ms}000000`;

const table = (ends: string[], equity: number[]): BacktestTable => ({
  rows: equity.length,
  columns: { end: ends.map((end) => ns(day(end))), equity, benchmark: equity.map(() => 100) },
  next: null,
});

const param = (given: Partial<StrategyParam>): StrategyParam => ({
  name: 'fast',
  kind: 'int',
  default: 20,
  low: 2,
  high: 500,
  step: null,
  choices: [],
  help: '',
  ...given,
});

describe('a run', () => {
  const curve = curveOf(
    table(['2026-01-30', '2026-01-31', '2026-02-01', '2026-02-02', '2026-02-03'], [100, 110, 99, 121, 60.5]),
  );

  it('has its drawdown below the highest so far', () => {
    expect(curve.drawdown.map((depth) => Number(depth.toFixed(6)))).toEqual([0, 0, -0.1, 0, -0.5]);
  });

  it('counts a day that ends at midnight to the month that it lay in', () => {
    const months = monthsOf(curve);
    expect(months.map(({ year, month }) => [year, month])).toEqual([
      [2026, 0],
      [2026, 1],
    ]);
    expect(months[0]?.growth).toBeCloseTo(-0.01, 12); // to the end of 31 January
    expect(months[1]?.growth).toBeCloseTo(60.5 / 99 - 1, 12);
  });

  it('tells its falls, deepest first, and which of them are not made good', () => {
    const falls = fallsOf(curve, 5);
    expect(falls.map(({ depth, end_ms }) => [Number(depth.toFixed(6)), end_ms])).toEqual([
      [-0.5, null],
      [-0.1, day('2026-02-02')],
    ]);
    expect(falls[1]).toMatchObject({ start_ms: day('2026-01-31'), low_ms: day('2026-02-01') });
    expect(fallsOf(curve, 1)).toHaveLength(1);
  });

  it('says its parameters', () => {
    expect(paramsText({ fast: 20, side: 'both' })).toBe('fast 20, side both');
  });
});

describe('a parameter', () => {
  it.each([
    ['20', true],
    ['1', false],
    ['501', false],
    ['2.5', false],
    ['many', false],
    ['', false],
  ])('%s fits: %s', (text, fit) => expect(fits(param({}), text)).toBe(fit));

  it('says what it may be', () => {
    expect(rangeText(param({}))).toBe('whole number from 2 to 500');
    expect(rangeText(param({ kind: 'float', high: null }))).toBe('number from 2');
    expect(rangeText(param({ choices: ['long', 'both'], kind: 'str' }))).toBe('long, both');
  });

  it('keeps its default where nothing is written', () => {
    const params = [param({}), param({ name: 'slow' }), param({ name: 'shorts', kind: 'bool' })];
    expect(valuesOf(params, { fast: '5', slow: '', shorts: 'true' })).toEqual({ fast: 5, shorts: true });
  });
});

describe('the space of a study', () => {
  it('lies about the default where nothing else is said, within the range', () => {
    expect(rangeOf(param({}))).toBe('5:40:4');
    expect(rangeOf(param({ default: 2 }))).toBe('2:4:1');
    expect(rangeOf(param({ kind: 'float', default: 2, low: 0.5, high: 3, step: 0.5 }))).toBe('0.5:3:0.5');
    expect(rangeOf(param({ kind: 'bool', default: true, low: null, high: null }))).toBe('true, false');
    expect(rangeOf(param({ low: null, high: null }))).toBe('20');
  });

  it.each([
    ['5:50:5', null],
    ['5:50', null],
    ['1, 2, 3', null],
    ['50:5:5', 'fast: the range runs backwards.'],
    ['5:50:0', 'fast: the range runs backwards.'],
    ['5:x', 'fast: write a range as from:to:step.'],
    [' ', 'fast has no values.'],
  ])('%s: %s', (text, fault) => expect(rangeFault('fast', text)).toBe(fault));

  it('goes to the platform as ranges, lists and values', () => {
    const params = [param({}), param({ name: 'slow' }), param({ name: 'side', kind: 'str' })];
    expect(spaceOf(params, { fast: '5:50:5', slow: '50, 100', side: 'long' })).toEqual({
      fast: '5:50:5',
      slow: [50, 100],
      side: 'long',
    });
  });

  it('has lines with numbers alone, the best first', () => {
    const lines = [
      [5, true, 1],
      [6, false, 2],
      [7, 'x', 3],
      [8, true, null],
    ];
    expect(linesOf({ axes: ['a', 'b', 'value'], lines })).toEqual([
      [6, 0, 2],
      [5, 1, 1],
    ]);
  });
});

it('the last day of a span is whole', () => {
  expect(spanOf({ start: '2026-01-01', end: '2026-01-31' })).toEqual({
    start: '2026-01-01T00:00:00Z',
    end: new Date(day('2026-01-31') + DAY).toISOString(),
  });
  expect(spanOf({ start: '', end: '' })).toEqual({});
});
