// Application events of the platform: what others, or another window, did. They only say what to read again.

import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { backoff_ms } from './stream-core';

interface EventMessage {
  type: string;
  id?: number;
  after?: number;
  kind?: string;
  subject?: string;
}

/** Which answers an event makes old, by the beginning of its kind. */
const STALE: [prefix: string, queries: string[]][] = [
  ['collector_', ['collection', 'config', 'instruments']],
  ['gap_', ['gaps', 'collection']],
  ['setting_', ['config']],
  ['session_', ['session']],
];

export const staleQueries = (kind: string): string[] =>
  STALE.find(([prefix]) => kind.startsWith(prefix))?.[1] ?? [];

type Revised = (instrument: string) => void;
const revised = new Set<Revised>();

/** Calls `listener` with the instrument of each stored bar that a late trade changed. Returns what ends it. */
export function onRevised(listener: Revised): () => void {
  revised.add(listener);
  return () => revised.delete(listener);
}

export const tellRevised: Revised = (instrument) => {
  for (const listener of revised) listener(instrument);
};

/** Follows events from now on, through every reconnect; `told` gets kind and subject of each. */
export function followEvents(told: (kind: string, subject: string) => void): () => void {
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let after: number | null = null;
  let attempt = 0;
  const connect = () => {
    const url = new URL('/ws/events', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    if (after !== null) url.searchParams.set('after', String(after));
    socket = new WebSocket(url);
    socket.onmessage = (message: MessageEvent<string>) => {
      attempt = 0;
      const event = JSON.parse(message.data) as EventMessage;
      if (event.type === 'hello') after = event.after ?? after;
      if (event.type !== 'event') return;
      after = event.id ?? after;
      if (event.kind) told(event.kind, event.subject ?? '');
    };
    socket.onclose = () => {
      timer = setTimeout(connect, Math.max(250, backoff_ms(attempt, Math.random(), 1_000, 30_000)));
      attempt += 1;
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    if (socket) socket.onclose = null;
    socket?.close();
  };
}

export function useEvents(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      followEvents((kind, subject) => {
        if (kind === 'bar_revised') tellRevised(subject);
        for (const query of staleQueries(kind)) void client.invalidateQueries({ queryKey: [query] });
      }),
    [client],
  );
}
