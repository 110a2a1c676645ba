// Queries that more than one feature reads.

import { useQuery } from '@tanstack/react-query';
import { api } from '@/api/client';
import type { Config, Instrument } from '@/api/types';

export const useConfig = () =>
  useQuery({ queryKey: ['config'], queryFn: () => api.config(), staleTime: 60_000, refetchInterval: 60_000 });

export const useMode = (): NonNullable<Config['mode']> | undefined => useConfig().data?.mode ?? undefined;

/** Every instrument of every venue, page by page. */
async function allInstruments(signal: AbortSignal): Promise<Instrument[]> {
  const items: Instrument[] = [];
  let cursor: string | undefined;
  do {
    const page = await api.instruments({ limit: 1000, ...(cursor ? { cursor } : {}) }, signal);
    items.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor);
  return items;
}

export const useInstruments = () =>
  useQuery({
    queryKey: ['instruments'],
    queryFn: ({ signal }) => allInstruments(signal),
    staleTime: 60_000,
    // A platform that has just started learns its instruments within seconds.
    refetchInterval: (query) => (query.state.data?.length ? 60_000 : 2_000),
  });

/** The instrument, what is stored of it, and its gaps. */
export const useMetadata = (instrument: string) =>
  useQuery({
    queryKey: ['metadata', instrument],
    queryFn: ({ signal }) => api.metadata(instrument, signal),
    staleTime: 60_000,
    // Nothing may be stored yet of an instrument that was connected a moment ago.
    refetchInterval: (query) => (query.state.data?.datasets.length ? 60_000 : 5_000),
  });

/** Strategies that the platform has: ours, those of the folder and of the database. */
export const useStrategies = () =>
  useQuery({ queryKey: ['strategies'], queryFn: ({ signal }) => api.strategies(signal) });

/** Every indicator of the platform. They change with its version alone. */
export const useIndicatorList = (enabled = true) =>
  useQuery({
    enabled,
    queryKey: ['indicators'],
    queryFn: ({ signal }) => api.indicators(signal),
    staleTime: Number.POSITIVE_INFINITY,
    select: (found) => found.items,
  });
