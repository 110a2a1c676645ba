import {
  type InfiniteData,
  type QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import { useEffect } from 'react';
import { ApiError, api } from '@/api/client';
import type { Dataset, Datasets } from '@/api/types';
import type { DatasetSearch } from '@/shared/dataset-search';
import { onEvent } from '@/shared/events';
import { toast } from '@/shared/toast';
import { queryOf, withCollecting, withRow } from './dataset';

/** The first cards come quickly; what follows comes in as few answers as the platform gives. */
const FIRST = 100;
const MORE = 1000;
/** The store grows every ten seconds; a list of which more than two answers are shown is told of by events alone. */
const POLL_MS = 10_000;
const RECENT_DAYS = 60;
const LIST = ['datasets', 'list'] as const;

type Pages = InfiniteData<Datasets, string | undefined>;

const whyOf = (error: Error): string => (error instanceof ApiError ? error.body.message : error.message);

/** Datasets that answer the filters, page by page. */
export const useDatasets = (search: DatasetSearch) => {
  const query = queryOf(search);
  return useInfiniteQuery({
    queryKey: [...LIST, query],
    queryFn: ({ pageParam, signal }) =>
      api.datasets(
        { ...query, days: RECENT_DAYS, limit: pageParam ? MORE : FIRST, cursor: pageParam },
        signal,
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: (before) => before,
    staleTime: 5_000,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= 2 ? POLL_MS : false),
  });
};

/** Counters of followed datasets move as the platform tells of them. */
export function useGrowth(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      onEvent('stock_update', (id, { rows, end }) => {
        const change: Partial<Dataset> = {};
        if (typeof rows === 'number') change.rows = rows;
        if (typeof end === 'string') change.end = end;
        changeLists(client, (page) => withRow(page, id, change));
        client.setQueryData<Dataset>(['dataset', id], (row) => row && { ...row, ...change });
      }),
    [client],
  );
}

function changeLists(client: QueryClient, change: (page: Datasets) => Datasets): void {
  client.setQueriesData<Pages>(
    { queryKey: LIST },
    (found) => found && { ...found, pages: found.pages.map(change) },
  );
}

/** Follows a dataset, or no longer: shown at once, taken back where the platform refuses. */
export function useFollow() {
  const client = useQueryClient();
  const show = (id: string, subscribed: boolean) => {
    changeLists(client, (page) => withRow(page, id, { subscribed }));
    client.setQueryData<Dataset>(['dataset', id], (row) => row && { ...row, subscribed });
  };
  return useMutation({
    mutationFn: ({ id, followed }: { id: string; name: string; followed: boolean }) =>
      api.follow(id, followed),
    onMutate: async ({ id, followed }) => {
      await client.cancelQueries({ queryKey: LIST });
      show(id, followed);
    },
    onError: (error, { id, name, followed }) => {
      show(id, !followed);
      toast(`${name} is ${followed ? 'not followed' : 'still followed'}: ${whyOf(error)}`, 'bad');
    },
    onSuccess: (_answer, { name, followed }) =>
      toast(followed ? `You are told when ${name} grows` : `${name} is followed no longer`),
  });
}

/** Starts or stops the collector of a venue: shown at once on all its datasets, taken back where it is refused. */
export function useCollecting() {
  const client = useQueryClient();
  const show = (venue: string, wanted: boolean) => {
    changeLists(client, (page) => withCollecting(page, venue, wanted));
    client.setQueriesData<Dataset>({ queryKey: ['dataset'], exact: false }, (row) =>
      row?.venue === venue && row.delivery === 'live'
        ? { ...row, status: wanted ? 'collecting' : 'stored' }
        : row,
    );
  };
  return useMutation({
    mutationFn: ({ venue, wanted }: { venue: string; wanted: boolean }) =>
      wanted ? api.startCollector(venue) : api.stopCollector(venue),
    onMutate: async ({ venue, wanted }) => {
      await client.cancelQueries({ queryKey: LIST });
      show(venue, wanted);
    },
    onError: (error, { venue, wanted }) => {
      show(venue, !wanted);
      toast(`${venue} was not ${wanted ? 'started' : 'stopped'}: ${whyOf(error)}`, 'bad');
    },
    onSuccess: (_answer, { venue, wanted }) => toast(`${venue} ${wanted ? 'starts' : 'stops'}`),
    onSettled: () => {
      void client.invalidateQueries({ queryKey: ['collection'] });
      void client.invalidateQueries({ queryKey: LIST, refetchType: 'none' });
    },
  });
}

export const useProviders = () =>
  useQuery({ queryKey: ['providers'], queryFn: ({ signal }) => api.providers(signal), staleTime: 60_000 });

export const useDataset = (id: string) =>
  useQuery({
    queryKey: ['dataset', id],
    queryFn: ({ signal }) => api.dataset(id, signal),
    refetchInterval: POLL_MS,
  });

export const useFields = (id: string) =>
  useQuery({
    queryKey: ['dataset-fields', id],
    queryFn: ({ signal }) => api.datasetFields(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Days of a span, both ends of it dates; the whole dataset without one. */
export const useCoverage = (id: string, start?: string, end?: string) =>
  useQuery({
    queryKey: ['dataset-coverage', id, start, end],
    queryFn: ({ signal }) =>
      api.coverage(id, { ...(start ? { start } : {}), ...(end ? { end } : {}) }, signal),
    placeholderData: (before) => before,
    refetchInterval: 30_000,
  });

/** The newest holes of an instrument and of its whole venue. */
export const useGaps = (instrument: string) =>
  useQuery({
    queryKey: ['gaps', instrument],
    queryFn: ({ signal }) => api.gaps({ instrument, limit: 200 }, signal),
    refetchInterval: 10_000,
  });

export const useJobsOf = (kind?: string) =>
  useQuery({
    queryKey: ['dataset-jobs', kind],
    queryFn: ({ signal }) => api.jobs({ limit: 200, ...(kind ? { kind } : {}) }, signal),
    refetchInterval: 5_000,
  });

export function useEdit(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Parameters<typeof api.editDataset>[1]) => api.editDataset(id, body),
    onSuccess: (row) => {
      client.setQueryData(['dataset', id], row);
      changeLists(client, (page) => withRow(page, id, row));
      toast('Saved');
    },
    onError: (error) => toast(`It was not saved: ${whyOf(error)}`, 'bad'),
  });
}

/** How large a span of a dataset is, before it is fetched. */
export const useSize = (sql: string, enabled: boolean) =>
  useQuery({
    queryKey: ['dataset-size', sql],
    queryFn: ({ signal }) => api.query({ sql, preview: true }, signal),
    enabled,
    staleTime: 30_000,
    retry: false,
  });

export interface Count {
  /** How many are odd. */
  found: number;
  total: number;
}

/** What the checks of a day count, in their order. */
export const useCounts = (sql: string) =>
  useQuery({
    queryKey: ['dataset-counts', sql],
    queryFn: async ({ signal }): Promise<Count[]> => {
      const { columns } = await api.query({ sql, format: 'columns' }, signal);
      return (columns?.found ?? []).map((found, at) => ({
        found: Number(found),
        total: Number(columns?.total?.[at] ?? 0),
      }));
    },
    staleTime: 60_000,
    retry: false,
  });
