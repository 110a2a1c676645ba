// What a person fills in about history to be fetched, and the order that it makes.

import type { FetchAsk, Provider } from '@/api/types';

export interface FetchForm {
  provider: string;
  /** As it was typed: symbols between commas, spaces or lines. */
  symbols: string;
  kind: 'bars' | 'trades';
  interval: string;
  /** Days, `2026-11-29`, UTC; the last one is fetched, too. Empty: up to what there is. */
  start: string;
  end: string;
  workers: number;
}

const SYMBOLS_MOST = 1000;

export const symbolsOf = (text: string): string[] => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];

/** What does not fit, by field; nothing where an order can be made. */
export function faults(
  form: FetchForm,
  provider: Provider | undefined,
): Partial<Record<keyof FetchForm, string>> {
  const symbols = symbolsOf(form.symbols);
  const found: Partial<Record<keyof FetchForm, string>> = {};
  if (!provider) found.provider = 'Choose who is asked.';
  if (symbols.length === 0) found.symbols = 'Name one symbol at least.';
  if (symbols.length > SYMBOLS_MOST) found.symbols = `${symbols.length} are named; ${SYMBOLS_MOST} at most.`;
  if (!isDay(form.start)) found.start = 'Choose the first day.';
  if (form.end !== '' && !isDay(form.end)) found.end = 'This is no day.';
  if (isDay(form.start) && isDay(form.end) && form.end < form.start)
    found.end = 'The last day lies before the first.';
  const most = provider?.limits.workers ?? 50;
  if (!Number.isInteger(form.workers) || form.workers < 1 || form.workers > most)
    found.workers = `From 1 to ${most}.`;
  return found;
}

const isDay = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));

/** The order, as the platform takes it. */
export function orderOf(form: FetchForm): FetchAsk {
  const end = form.end === '' ? null : new Date(Date.parse(form.end) + 86_400_000).toISOString();
  return {
    provider: form.provider,
    symbols: symbolsOf(form.symbols),
    kind: form.kind,
    ...(form.kind === 'bars' ? { interval: form.interval } : {}),
    start: `${form.start}T00:00:00Z`,
    ...(end === null ? {} : { end }),
    workers: form.workers,
  };
}

/** What a form begins with at a provider: a month of its one-minute bars, or of the shortest it has. */
export function beginning(provider: Provider, now: Date): FetchForm {
  const kind = provider.kinds.includes('bars') ? 'bars' : 'trades';
  const day = (back: number) => new Date(now.getTime() - back * 86_400_000).toISOString().slice(0, 10);
  return {
    provider: provider.name,
    symbols: '',
    kind,
    interval: provider.intervals.includes('1m') ? '1m' : (provider.intervals[0] ?? '1m'),
    start: day(30),
    end: day(1),
    workers: Math.min(8, provider.limits.workers),
  };
}
