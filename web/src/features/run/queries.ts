import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { api } from '@/api/client';
import { onEvent } from '@/shared/events';

/** Runs that are kept, newest or best first. */
export const useRuns = (text: string, sort: string) =>
  useQuery({
    queryKey: ['runs', text, sort],
    queryFn: ({ signal }) => api.backtests({ limit: 200, sort, ...(text === '' ? {} : { text }) }, signal),
    placeholderData: (before) => before,
  });

export const useRun = (id: string) =>
  useQuery({ queryKey: ['run', id], queryFn: ({ signal }) => api.backtest(id, signal) });

/** A table of a run: it never changes. */
export const useRunTable = (
  id: string,
  table: 'equity' | 'days' | 'trades' | 'fills' | 'orders',
  query: { limit?: number; points?: number },
  enabled = true,
) =>
  useQuery({
    queryKey: ['run', id, table, query],
    queryFn: ({ signal }) => api.backtestTable(id, table, query, signal),
    staleTime: Number.POSITIVE_INFINITY,
    enabled,
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
