import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { ApiError, api, type RunTable } from '@/api/client';
import { onEvent } from '@/shared/events';

const PAGE = 200;
/** What the platform refuses it refuses again. */
const retry = (count: number, error: Error): boolean =>
  count < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500);

/** Runs that are kept and fit, sorted; more of them as they are asked for. */
export const useRuns = (where: string, sort: string, order: string) =>
  useInfiniteQuery({
    queryKey: ['runs', where, sort, order],
    queryFn: ({ pageParam, signal }) =>
      api.backtests(
        {
          limit: PAGE,
          sort,
          order,
          ...(where === '' ? {} : { where }),
          ...(pageParam === '' ? {} : { cursor: pageParam }),
        },
        signal,
      ),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
    placeholderData: (before) => before,
    retry,
  });

export const useRun = (id: string, enabled = true) =>
  useQuery({
    queryKey: ['run', id],
    enabled,
    queryFn: ({ signal }) => api.backtest(id, signal),
    retry,
  });

/** A table of a run: it never changes. */
export const useRunTable = (
  id: string,
  table: RunTable,
  query: { limit?: number; points?: number },
  enabled = true,
) =>
  useQuery({
    queryKey: ['run', id, table, query],
    queryFn: ({ signal }) => api.backtestTable(id, table, query, signal),
    staleTime: Number.POSITIVE_INFINITY,
    enabled,
  });

export const useRobustness = (id: string) =>
  useQuery({
    queryKey: ['run', id, 'robustness'],
    queryFn: ({ signal }) => api.robustness(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const useComparison = (ids: string[]) =>
  useQuery({
    queryKey: ['runs', 'compare', ids.join(',')],
    queryFn: ({ signal }) => api.compareBacktests(ids, signal),
    enabled: ids.length > 1,
    retry,
  });

/** A job that runs a backtest, followed to its end. */
export function useRunJob(id: string | null) {
  const client = useQueryClient();
  useEffect(() => {
    if (id === null) return;
    return onEvent('job_progress', (subject) => {
      if (subject === id) void client.invalidateQueries({ queryKey: ['job', id] });
    });
  }, [id, client]);
  return useQuery({
    queryKey: ['job', id],
    queryFn: ({ signal }) => api.job(id ?? '', signal),
    enabled: id !== null,
    refetchInterval: ({ state }) =>
      ['queued', 'running'].includes(state.data?.state ?? 'queued') ? 1_000 : false,
  });
}

export function useDeleteRun() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => api.deleteBacktest(id),
    onSettled: () => void client.invalidateQueries({ queryKey: ['runs'] }),
  });
}
