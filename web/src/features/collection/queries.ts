import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { ApiError, api } from '@/api/client';
import type { CollectionStatus } from '@/api/types';
import { useFeed } from '@/shared/stream';
import { toast } from '@/shared/toast';
import { withWanted } from './collection';

const KEY = ['collection'];

export const useCollection = () =>
  useQuery({ queryKey: KEY, queryFn: () => api.collection(), refetchInterval: 1_000 });

/** The gap ledger, read again as soon as the stream names a gap. */
export function useGaps() {
  const client = useQueryClient();
  const seen = useFeed((feed) => feed.gaps);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the count is the signal
  useEffect(() => void client.invalidateQueries({ queryKey: ['gaps'] }), [seen, client]);
  return useQuery({ queryKey: ['gaps'], queryFn: () => api.gaps({ limit: 200 }), refetchInterval: 5_000 });
}

/** Starts or stops a collector: shown at once, taken back where the platform refuses. */
export function useWanted() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ venue, wanted }: { venue: string; wanted: boolean }) =>
      wanted ? api.startCollector(venue) : api.stopCollector(venue),
    onMutate: async ({ venue, wanted }) => {
      await client.cancelQueries({ queryKey: KEY });
      const before = client.getQueryData<CollectionStatus>(KEY);
      if (before) client.setQueryData(KEY, withWanted(before, venue, wanted));
      return { before };
    },
    onError: (error, { venue, wanted }, context) => {
      if (context?.before) client.setQueryData(KEY, context.before);
      const why = error instanceof ApiError ? error.body.message : error.message;
      toast(`${venue} was not ${wanted ? 'started' : 'stopped'}: ${why}`, 'bad');
    },
    onSuccess: (_answer, { venue, wanted }) => toast(`${venue} ${wanted ? 'starts' : 'stops'}`),
    onSettled: () => void client.invalidateQueries({ queryKey: KEY }),
  });
}

export const useLogs = (venue: string, enabled = true) =>
  useQuery({
    queryKey: ['logs', venue],
    queryFn: () => api.logs(venue, 200),
    refetchInterval: 2_000,
    enabled,
  });
