import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { api } from '@/api/client';
import type { Lab, LabKind } from '@/api/types';
import { sentence } from '@/shared/format';
import { toast } from '@/shared/toast';

const KEY = ['lab'];
const STARTING_MS = 700;
const IDLE_MS = 10_000;
/** JupyterLab on a busy machine takes its time; a tab that waits for ever helps nobody. */
const START_MS = 180_000;

export const useLab = () =>
  useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => api.lab(signal),
    refetchInterval: (query) => (query.state.data?.state === 'starting' ? STARTING_MS : IDLE_MS),
  });

export interface Asked {
  kind: LabKind;
  /** A notebook's file; all of them where it is left out. */
  notebook?: string;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Where a lab lets the owner in, at one notebook or at all of them; null while it does not. */
export function addressOf(lab: Lab, { kind, notebook }: Asked): string | null {
  if (lab.state !== 'running' || lab.kind !== kind) return null;
  return (notebook ? lab.notebooks.find(({ name }) => name === notebook)?.url : lab.url) ?? null;
}

async function addressWhenReady(asked: Asked, client: QueryClient): Promise<string> {
  const until = performance.now() + START_MS;
  let lab = await api.startLab(asked.kind);
  client.setQueryData(KEY, lab);
  while (lab.state === 'starting' && performance.now() < until) {
    await pause(STARTING_MS);
    lab = await api.lab();
    client.setQueryData(KEY, lab);
  }
  const address = addressOf(lab, asked);
  if (address) return address;
  throw new Error(lab.error?.message ?? 'the lab did not answer in time; its log is DIR/logs/lab.log');
}

/** Opens a notebook in a tab of its own, and starts the lab first where none runs. */
export function useOpen() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (asked: Asked) => {
      // A tab must be opened by the click itself: a browser blocks what opens later.
      const tab = window.open('about:blank', '_blank');
      if (tab) {
        tab.opener = null; // What the notebook runs must have no way back to this page.
        tab.document.title = 'Starting…';
      }
      try {
        const address = await addressWhenReady(asked, client);
        if (tab) tab.location.replace(address);
        else toast('The browser blocked the new tab: the lab runs, open it here.', 'bad');
      } catch (error) {
        tab?.close();
        throw error;
      }
    },
    onError: (error) => toast(sentence(error.message), 'bad'),
    onSettled: () => client.invalidateQueries({ queryKey: KEY }),
  });
}

export function useStop() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => api.stopLab(),
    onSuccess: (lab) => client.setQueryData(KEY, lab),
    onError: (error) => toast(sentence(error.message), 'bad'),
  });
}
