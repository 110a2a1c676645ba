// What the marketplace shows of datasets, worked out from what the platform says.

import type { Dataset, Datasets, Provider } from '@/api/types';
import { DATASET_FACETS, type DatasetSearch } from '@/shared/dataset-search';
import { msOfNs, number } from '@/shared/format';

const DAY_MS = 86_400_000;

/** What a facet's values are called; others are shown as they are. */
const WORDS: Record<string, string> = {
  event: 'every event',
  collecting: 'collecting',
  stored: 'stored',
  live: 'live',
  history: 'history',
  generated: 'generated',
  'built-in': 'built in',
  public: 'public',
  'key-set': 'key set',
  'needs-key': 'needs credentials',
  own: 'own data',
};

export const wordOf = (value: string): string => WORDS[value] ?? value;

/** `crypto` is `Crypto`. */
export const title = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The query of a list under these filters; what is not said is left out. */
export function queryOf(search: DatasetSearch): Record<string, string> {
  const query: Record<string, string> = { sort: search.sort ?? 'id' };
  if (search.q) query.q = search.q;
  for (const name of DATASET_FACETS) if (search[name]) query[name] = search[name];
  return query;
}

export const isFiltered = (search: DatasetSearch): boolean =>
  Boolean(search.q) || DATASET_FACETS.some((name) => search[name] !== undefined);

/** `2021-03 to now`, or both ends; days where it lies within two months. */
export function rangeText(row: Pick<Dataset, 'start' | 'end'>, now_ms: number): string {
  if (row.start === null || row.end === null) return '—';
  const [from, to] = [msOfNs(row.start), msOfNs(row.end)];
  const short = to - from < 62 * DAY_MS;
  const text = (ms: number) => new Date(ms).toISOString().slice(0, short ? 10 : 7);
  const end = now_ms - to < 10 * 60_000 ? 'now' : text(to);
  return end === text(from) ? end : `${text(from)} to ${end}`;
}

/** A share as a percentage that never rounds up to whole: 0.99998 is `99.998 %`, 1 is `100 %`. */
export function shareText(share: number): string {
  if (share >= 1) return '100\u00a0%';
  const percent = share * 100;
  const places = percent > 99.99 ? 3 : percent > 99 ? 2 : 1;
  const cut = Math.floor(percent * 10 ** places) / 10 ** places;
  return `${number(cut, places)}\u00a0%`;
}

export interface Bars {
  /** SVG paths: days that are whole, days that lack something, days without rows. */
  whole: string;
  lacking: string;
  empty: string;
}

/** Bars of rows per day, as three paths, so that a card costs the browser three shapes and not sixty. */
export function barPaths(
  rows: readonly number[],
  completeness: readonly (number | null)[],
  width: number,
  height: number,
  slots = 60,
): Bars {
  const most = Math.max(1, ...rows);
  const step = width / slots;
  const wide = Math.max(1, step - 1).toFixed(2);
  const paths: Bars = { whole: '', lacking: '', empty: '' };
  rows.forEach((count, i) => {
    const x = ((slots - rows.length + i) * step).toFixed(2);
    const tall = count > 0 ? Math.max(2, (count / most) * height) : 1;
    const part = completeness[i] ?? 1;
    const kind = part < 1 && count > 0 ? 'lacking' : count > 0 ? 'whole' : part < 1 ? 'lacking' : 'empty';
    paths[kind] += `M${x} ${height}V${(height - tall).toFixed(2)}h${wide}V${height}z`;
  });
  return paths;
}

/** The median, or null of nothing. */
export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 ? upper : ((sorted[half - 1] ?? 0) + upper) / 2;
}

export interface Day {
  /** `2026-11-20`, UTC. */
  date: string;
  rows: number | null;
  /** Null where the market was shut: nothing could be missing. */
  completeness: number | null;
}

/** The columns of an answer as days. */
export function daysOf(found: {
  first: string;
  rows: number[] | null;
  completeness: (number | null)[];
}): Day[] {
  const from = Date.parse(found.first);
  return found.completeness.map((completeness, i) => ({
    date: new Date(from + i * DAY_MS).toISOString().slice(0, 10),
    rows: found.rows?.[i] ?? null,
    completeness,
  }));
}

/** Monday is 0. */
export const weekday = (date: string): number => (new Date(Date.parse(date)).getUTCDay() + 6) % 7;

/** Where the second, third and fourth shade begin: quarters of the days that have rows. */
export function shades(days: readonly Day[]): number[] {
  const sorted = days.flatMap(({ rows }) => (rows ? [rows] : [])).sort((a, b) => a - b);
  return [0.25, 0.5, 0.75].map((part) => sorted[Math.floor(part * (sorted.length - 1))] ?? 0);
}

export type DayKind = 'lacking' | 'missing' | 'shut' | 'none' | 0 | 1 | 2 | 3;

/** How a day is drawn: a shade of its rows, or what is the matter with it. */
export function kindOf(day: Day, bounds: readonly number[]): DayKind {
  if (day.completeness === null) return 'shut';
  if (day.completeness <= 0) return 'missing';
  if (day.completeness < 1) return 'lacking';
  if (day.rows === 0) return 'none';
  return bounds.filter((bound) => (day.rows ?? 0) >= bound).length as 0 | 1 | 2 | 3;
}

/** What is known of a day, in words. */
export function dayText(day: Day): string {
  const when = new Intl.DateTimeFormat('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    timeZone: 'UTC',
  }).format(Date.parse(day.date));
  const rows = day.rows === null ? '' : `, ${number(day.rows)} rows`;
  if (day.completeness === null) return `${when}: market shut${rows}`;
  return `${when}: ${shareText(day.completeness)} complete${rows}`;
}

/** The same rows with one collector's wanted state changed: shown until the platform answers. */
export function withCollecting(page: Datasets, venue: string, wanted: boolean): Datasets {
  return {
    ...page,
    items: page.items.map((row) =>
      row.venue === venue && row.delivery === 'live'
        ? { ...row, status: wanted ? ('collecting' as const) : ('stored' as const) }
        : row,
    ),
  };
}

/** The same rows with one of them changed. */
export const withRow = (page: Datasets, id: string, change: Partial<Dataset>): Datasets =>
  page.items.some((row) => row.id === id)
    ? { ...page, items: page.items.map((row) => (row.id === id ? { ...row, ...change } : row)) }
    : page;

/** Providers of which nothing is stored: what could be had. Filters that only stored data can answer leave
 * none. */
export function offers(
  providers: readonly Provider[],
  stored: ReadonlySet<string>,
  search: DatasetSearch,
): Provider[] {
  const { q, access, venue, delivery, category, resolution, status, kind } = search;
  if (venue || category || resolution || status || (delivery && delivery !== 'history')) return [];
  const words = (q ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  return providers.filter((one) => {
    const text = `${one.name} ${one.summary} ${one.kinds.join(' ')}`.toLowerCase();
    return (
      !stored.has(one.name) &&
      (!access || accessOf(one) === access) &&
      (!kind || one.kinds.some((own) => own === kind)) &&
      words.every((word) => text.includes(word))
    );
  });
}

export const accessOf = (one: Provider): string =>
  one.credentials.some(({ required }) => required) ? (one.ready ? 'key-set' : 'needs-key') : 'public';
