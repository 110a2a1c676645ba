import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { api } from '@/api/client';
import type { Alert, AlertAsk, Alerts } from '@/api/types';
import { onEvent } from '@/shared/events';
import { sentence } from '@/shared/format';
import { toast } from '@/shared/toast';

export const useAlerts = () =>
  useQuery({ queryKey: ['alerts'], queryFn: ({ signal }) => api.alerts(signal) });

export const useFirings = (alert: string | undefined) =>
  useQuery({
    queryKey: ['firings', alert],
    queryFn: ({ signal }) => api.firings({ limit: 100, ...(alert ? { alert } : {}) }, signal),
    placeholderData: (before) => before,
    // Channels are told within seconds of the event: those that wait are asked for again.
    refetchInterval: ({ state }) =>
      state.data?.items.some(({ deliveries }) => deliveries.some((one) => one.state === 'waiting'))
        ? 1_000
        : false,
  });

/** Shows what fires while the page is open, by the browser too where it was allowed. */
export function useAlertNews(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      onEvent('alert_fired', (_id, data) => {
        void client.invalidateQueries({ queryKey: ['alerts'] });
        void client.invalidateQueries({ queryKey: ['firings'] });
        const message = String(data.message ?? '');
        toast(sentence(message), 'bad');
        if ('Notification' in window && Notification.permission === 'granted')
          new Notification(String(data.name ?? 'Tidemill'), {
            body: message,
            tag: String(data.firing ?? ''),
          });
      }),
    [client],
  );
}

export function useCreateAlert() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: AlertAsk) => api.createAlert(body),
    onSuccess: () => void client.invalidateQueries({ queryKey: ['alerts'] }),
  });
}

/** On and off at once on the screen, and back where the platform refuses. */
export function useSwitchAlert() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, enabled }: Pick<Alert, 'id' | 'enabled'>) => api.changeAlert(id, { enabled }),
    onMutate: async ({ id, enabled }) => {
      await client.cancelQueries({ queryKey: ['alerts'] });
      const before = client.getQueryData<Alerts>(['alerts']);
      client.setQueryData<Alerts>(
        ['alerts'],
        (old) => old && { items: old.items.map((one) => (one.id === id ? { ...one, enabled } : one)) },
      );
      return before;
    },
    onError: (error, _asked, before) => {
      client.setQueryData(['alerts'], before);
      toast(error.message, 'bad');
    },
    onSettled: () => void client.invalidateQueries({ queryKey: ['alerts'] }),
  });
}

export function useDeleteAlert() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => api.deleteAlert(id),
    onSuccess: () => toast('Alert deleted. What it fired stays in the history.'),
    onError: (error) => toast(error.message, 'bad'),
    onSettled: () => void client.invalidateQueries({ queryKey: ['alerts'] }),
  });
}

export function useTestAlert() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => api.testAlert(id),
    onError: (error) => toast(error.message, 'bad'),
    onSettled: () => void client.invalidateQueries({ queryKey: ['firings'] }),
  });
}
