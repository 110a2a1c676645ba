import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api } from '@/api/client';
import { toast } from '@/shared/toast';

const OPEN = ['queued', 'running'];
const POLL_MS = 1_000;

export const useStudies = () =>
  useQuery({
    queryKey: ['studies'],
    queryFn: ({ signal }) => api.studies({ limit: 200 }, signal),
    refetchInterval: ({ state }) =>
      state.data?.items.some((one) => OPEN.includes(one.state)) ? POLL_MS : false,
  });

export const useStudy = (id: string) =>
  useQuery({
    queryKey: ['study', id],
    queryFn: ({ signal }) => api.study(id, signal),
    refetchInterval: ({ state }) => (OPEN.includes(state.data?.state ?? 'queued') ? POLL_MS : false),
  });

/** Trials so far; read again as long as they come. */
export const useTrials = (id: string, open: boolean) =>
  useQuery({
    queryKey: ['study', id, 'trials', open],
    queryFn: ({ signal }) => api.trials(id, { limit: 5000 }, signal),
    refetchInterval: open ? POLL_MS * 2 : false,
    placeholderData: (before) => before,
  });

export function useSteer(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (how: 'pause' | 'cancel' | 'resume') => api.steerStudy(id, how),
    onError: (error) => toast(error.message, 'bad'),
    onSettled: () => void client.invalidateQueries({ queryKey: ['study', id] }),
  });
}
