import { describe, expect, it } from 'vitest';
import type { Dataset, Datasets, Gap, Provider } from '@/api/types';
import {
  barPaths,
  daysOf,
  dayText,
  isFiltered,
  kindOf,
  median,
  offers,
  queryOf,
  rangeText,
  shades,
  shareText,
  weekday,
  withCollecting,
  withRow,
} from '@/features/dataset/dataset';
import { touches } from '@/features/dataset/lineage';
import { backfillOf } from '@/features/dataset/repair';
import { checksOf, checksSql, pythonSnippet, sqlOf } from '@/features/dataset/snippet';
import { readDatasetSearch } from '@/shared/dataset-search';

const ROW = {
  id: 'BTC-USD.kraken:trades',
  instrument: 'BTC-USD.kraken',
  venue: 'kraken',
  kind: 'trades',
  resolution: 'event',
  delivery: 'live',
  status: 'collecting',
  subscribed: false,
  rows: 10,
} as unknown as Dataset;
const page = (...items: Dataset[]): Datasets => ({ items, total: items.length, facets: {}, next: null });
const provider = (over: Partial<Provider> = {}): Provider =>
  ({
    name: 'kraken',
    summary: 'Kraken: every trade',
    kinds: ['bars', 'trades'],
    intervals: ['1m', '1d'],
    credentials: [],
    ready: true,
    ...over,
  }) as Provider;

describe('the address', () => {
  it('keeps what is known and lets go of the rest', () => {
    expect(
      readDatasetSearch({
        q: 'btc',
        venue: 'kraken',
        sort: '-rows',
        at: 40,
        view: 'list',
        price: 3,
        kind: 4,
      }),
    ).toEqual({ q: 'btc', venue: 'kraken', kind: '4', sort: '-rows', view: 'list', at: 40 });
    expect(readDatasetSearch({ sort: 'price', at: -1, view: 'pie', q: '' })).toEqual({});
  });
  it('becomes the query of the list, without what the list does not know', () => {
    expect(queryOf({ q: 'btc', access: 'public', at: 9, view: 'list' })).toEqual({
      sort: 'id',
      q: 'btc',
      access: 'public',
    });
    expect(isFiltered({ sort: '-rows', at: 3 })).toBe(false);
    expect(isFiltered({ delivery: 'live' })).toBe(true);
  });
});

describe('words of a card', () => {
  it('never calls whole what is not', () => {
    expect(shareText(1)).toBe('100\u00a0%');
    expect(shareText(0.9999999)).toBe('99.999\u00a0%');
    expect(shareText(0.98417)).toBe('98.4\u00a0%');
    expect(shareText(0)).toBe('0.0\u00a0%');
  });
  it('tells a range in months, a short one in days', () => {
    const ns = (date: string) => `${Date.parse(date)}000000`;
    const now = Date.parse('2026-11-20T12:00:00Z');
    expect(rangeText({ start: ns('2021-03-05'), end: `${now - 1000}000000` }, now)).toBe('2021-03 to now');
    expect(rangeText({ start: ns('2026-11-01'), end: ns('2026-11-09') }, now)).toBe(
      '2026-11-01 to 2026-11-09',
    );
    expect(rangeText({ start: ns('2019-01-01'), end: ns('2024-06-01') }, now)).toBe('2019-01 to 2024-06');
    expect(rangeText({ start: null, end: null }, now)).toBe('—');
  });
  it('draws days by what they are worth', () => {
    const { whole, lacking, empty } = barPaths([4, 2, 0, 0], [1, 0.5, null, 0], 40, 8, 4);
    expect(whole).toBe('M0.00 8V0.00h9.00V8z');
    expect(lacking).toBe('M10.00 8V4.00h9.00V8zM30.00 8V7.00h9.00V8z');
    expect(empty).toBe('M20.00 8V7.00h9.00V8z');
  });
});

describe('days', () => {
  const days = daysOf({ first: '2026-11-20', rows: [5, 5, 9, 0, 0], completeness: [1, 0.97, 1, null, 0] });
  it('are named, shaded and marked', () => {
    expect(days.map(({ date }) => date)).toEqual([
      '2026-11-20',
      '2026-11-21',
      '2026-11-22',
      '2026-11-23',
      '2026-11-24',
    ]);
    const bounds = shades(days);
    expect(days.map((day) => kindOf(day, bounds))).toEqual([3, 'lacking', 3, 'shut', 'missing']);
    expect(dayText(days[1] as (typeof days)[0])).toBe('21 Nov 2026: 97.0\u00a0% complete, 5 rows');
    expect(dayText(days[3] as (typeof days)[0])).toBe('23 Nov 2026: market shut, 0 rows');
    expect(weekday('2026-11-23')).toBe(0);
    expect(weekday('2026-11-22')).toBe(6);
    expect([median([]), median([3, 1]), median([9, 1, 2])]).toEqual([null, 2, 2]);
  });
});

describe('what is shown before the platform answers', () => {
  it('changes all live datasets of a venue, and no other', () => {
    const other = { ...ROW, id: 'x', venue: 'binance' };
    const history = { ...ROW, id: 'y', delivery: 'history', status: 'stored' } as Dataset;
    const after = withCollecting(page(ROW, other, history), 'kraken', false);
    expect(after.items.map(({ status }) => status)).toEqual(['stored', 'collecting', 'stored']);
    expect(withCollecting(after, 'kraken', true).items[0]?.status).toBe('collecting');
  });
  it('leaves a page alone that does not have the row', () => {
    const before = page(ROW);
    expect(withRow(before, 'x', { rows: 1 })).toBe(before);
    expect(withRow(before, ROW.id, { subscribed: true }).items[0]?.subscribed).toBe(true);
  });
});

it('offers what could be had, as far as the filters allow', () => {
  const key = { name: 'key', variables: ['K'], required: true, set: false };
  const sold = provider({ name: 'polygon', summary: 'Polygon: stocks', credentials: [key], ready: false });
  const all = [provider(), sold];
  const names = (search: Parameters<typeof offers>[2]) =>
    offers(all, new Set(['kraken']), search).map(({ name }) => name);
  expect(names({})).toEqual(['polygon']);
  expect(names({ access: 'needs-key', q: 'STOCKS' })).toEqual(['polygon']);
  expect(names({ access: 'public' })).toEqual([]);
  expect(names({ venue: 'kraken' })).toEqual([]);
  expect(names({ delivery: 'live' })).toEqual([]);
});

describe('a hole', () => {
  const gap = {
    opened_at: '1700000000000000000',
    ts_event_open: '0',
    ts_event_end: null,
    ended_at: null,
  } as unknown as Gap;
  it('is filled by the provider of its venue, where that has such rows', () => {
    expect(backfillOf(ROW, gap, [provider()], 1_700_000_060_000)).toEqual({
      provider: 'kraken',
      symbols: ['BTC-USD'],
      kind: 'trades',
      start: '2023-11-14T22:13:20.000Z',
      end: '2023-11-14T22:14:20.000Z',
    });
    expect(backfillOf({ ...ROW, kind: 'quotes' }, gap, [provider()], 1)).toBeNull();
    expect(backfillOf(ROW, gap, [provider({ ready: false })], 1)).toBeNull();
    expect(backfillOf(ROW, gap, [], 1)).toBeNull();
  });
});

it('knows the jobs that had to do with a dataset', () => {
  const is = (kind: string, detail: Record<string, unknown>) => touches({ kind, detail }, ROW);
  expect(is('fetch', { provider: 'kraken', symbols: ['btc/usd'] })).toBe(true);
  expect(is('fetch', { provider: 'binance', symbols: ['BTC-USD'] })).toBe(false);
  expect(is('verify', { what: null })).toBe(true);
  expect(is('verify', { what: 'binance' })).toBe(false);
  expect(is('export', { instrument: ROW.instrument })).toBe(true);
  expect(is('query', { sql: sqlOf(ROW) })).toBe(true);
  expect(is('tidy', {})).toBe(false);
});

describe('text to paste', () => {
  it('names the dataset, and no text of it can leave its quotes', () => {
    expect(pythonSnippet(ROW)).toContain('td.trades("BTC-USD.kraken", last="1h")');
    expect(pythonSnippet({ ...ROW, kind: 'bars', resolution: '1s' })).toContain(
      'td.bars("BTC-USD.kraken", "1m")',
    );
    expect(sqlOf({ ...ROW, instrument: "O'X.k" })).toContain("instrument = 'O''X.k'");
    expect(sqlOf({ ...ROW, kind: 'bars', resolution: '1d' }, '2026-11-20')).toContain("month = '2026-11'");
  });
  it('counts all checks of a kind in one statement', () => {
    const names = (kind: string) => checksOf({ ...ROW, kind }, '2026-11-20').map(({ name }) => name);
    expect(names('quotes')).toContain('Crossed books');
    expect(names('trades')).toEqual(['Duplicates', 'Out of order', 'Repeated ids', 'Outliers', 'Late']);
    expect(checksSql(checksOf(ROW, '2026-11-20')).match(/UNION ALL/g)).toHaveLength(4);
  });
});
