import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api } from '@/api/client';
import type { Strategy } from '@/api/types';
import { onEvent } from '@/shared/events';
import { forget, setDeleted, useDrafts } from './draft';

/** Marks come this long after the last key. */
const QUIET_MS = 600;

export const useStrategy = (name: string) =>
  useQuery({ queryKey: ['strategy', name], queryFn: ({ signal }) => api.strategy(name, signal) });

export const useLanguage = (enabled: boolean) =>
  useQuery({
    queryKey: ['strategy-language'],
    queryFn: ({ signal }) => api.strategyLanguage(signal),
    staleTime: Number.POSITIVE_INFINITY,
    enabled,
  });

export const useVersions = (name: string, enabled: boolean) =>
  useQuery({
    queryKey: ['strategy', name, 'versions'],
    queryFn: ({ signal }) => api.strategyVersions(name, signal),
    enabled,
  });

/** A version's text never changes. */
export const useVersion = (name: string, version: number | null) =>
  useQuery({
    queryKey: ['strategy', name, 'versions', version],
    queryFn: ({ signal }) => api.strategyVersion(name, version ?? 0, signal),
    staleTime: Number.POSITIVE_INFINITY,
    enabled: version !== null,
  });

function useQuiet(text: string): string {
  const [quiet, setQuiet] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setQuiet(text), QUIET_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return quiet;
}

/** What the platform says of a text, a moment after it came to rest. */
export function useDiagnosis(text: string) {
  const quiet = useQuiet(text);
  return useQuery({
    queryKey: ['strategy-diagnosis', quiet],
    queryFn: ({ signal }) => api.diagnoseStrategy(quiet, signal),
    placeholderData: (before) => before,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    enabled: quiet !== '',
  });
}

/** The job of a backtest, followed to its end. */
export function useWork(id: string | null) {
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

export const useResult = (id: string | null) =>
  useQuery({
    queryKey: ['run', id],
    queryFn: ({ signal }) => api.backtest(id ?? '', signal),
    enabled: id !== null,
  });

export const useEquity = (id: string | null) =>
  useQuery({
    queryKey: ['run', id, 'equity', { points: 500 }],
    queryFn: ({ signal }) => api.backtestTable(id ?? '', 'equity', { points: 500 }, signal),
    staleTime: Number.POSITIVE_INFINITY,
    enabled: id !== null,
  });

/** What is changed of strategies; each leaves what is shown as the platform has it. */
export function useKeep() {
  const client = useQueryClient();
  const told = (one: Strategy) => {
    client.setQueryData(['strategy', one.name], one);
    void client.invalidateQueries({ queryKey: ['strategy', one.name, 'versions'], exact: true });
    void client.invalidateQueries({ queryKey: ['strategies'] });
    return one;
  };
  const make = useMutation({ mutationFn: api.createStrategy, onSuccess: told });
  /** Makes the next version of `version`. */
  const save = useMutation({
    mutationFn: (body: { name: string; code: string; version: number }) =>
      api.changeStrategy(body.name, { code: body.code, version: body.version }),
    onSuccess: (one) => {
      // What was typed while it was on its way stays a change of the new version.
      const draft = useDrafts.getState().drafts[one.name];
      if (!draft || draft.text === one.code) forget(one.name);
      else {
        useDrafts.setState(({ drafts }) => ({
          drafts: {
            ...drafts,
            [one.name]: { text: draft.text, base: one.code, version: one.version ?? draft.version },
          },
        }));
      }
      return told(one);
    },
  });
  const remove = useMutation({
    mutationFn: (name: string) => api.deleteStrategy(name),
    onSuccess: (one) => {
      forget(one.name);
      setDeleted(one);
      client.removeQueries({ queryKey: ['strategy', one.name] });
      void client.invalidateQueries({ queryKey: ['strategies'] });
    },
  });
  return { make, save, remove };
}
