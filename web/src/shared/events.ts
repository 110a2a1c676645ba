// Application events of the platform: what others, or another window, did. They only say what to read again.

import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { create } from 'zustand';
import { backoff_ms } from './stream-core';

interface EventMessage {
  type: string;
  id?: number;
  after?: number;
  kind?: string;
  subject?: string;
  data?: Record<string, unknown>;
}

/** How the stream of events is: while it is not live, what only events renew may be old. */
export interface EventStream {
  state: 'connecting' | 'live' | 'reconnecting';
  /** Tries since it was live. */
  attempt: number;
  /** When the next try starts, ms since the epoch; 0 when one is under way. */
  next_try_ms: number;
  /** How often it came alive: each time something may have been missed. */
  starts: number;
}

export const useEventStream = create<EventStream>(() => ({
  state: 'connecting',
  attempt: 0,
  next_try_ms: 0,
  starts: 0,
}));

/** Which answers an event makes old, by the beginning of its kind. */
const STALE: [prefix: string, queries: string[]][] = [
  ['collector_', ['collection', 'config', 'instruments']],
  ['gap_', ['gaps', 'collection']],
  ['setting_', ['config']],
  ['session_', ['session']],
];

export const staleQueries = (kind: string): string[] =>
  STALE.find(([prefix]) => kind.startsWith(prefix))?.[1] ?? [];

type Told = (subject: string, data: Record<string, unknown>) => void;
const listeners = new Map<string, Set<Told>>();

/** Calls `listener` with subject and data of each event of a kind. Returns what ends it. */
export function onEvent(kind: string, listener: Told): () => void {
  const all = listeners.get(kind) ?? new Set();
  listeners.set(kind, all.add(listener));
  return () => all.delete(listener);
}

export function tellEvent(kind: string, subject: string, data: Record<string, unknown>): void {
  for (const listener of listeners.get(kind) ?? []) listener(subject, data);
}

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

/** An event is rare: a question that must be answered tells a quiet stream from a dead one. */
const PING_MS = 4_000;
/** A connection that says nothing for so long after it was asked, or opened, is given up. */
const SILENT_MS = 8_000;

/** Follows events from now on, through every reconnect; `told` gets kind, subject and data of each. */
export function followEvents(
  told: (kind: string, subject: string, data: Record<string, unknown>) => void,
  changed: (stream: Partial<EventStream>) => void = () => undefined,
): () => void {
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pulse: ReturnType<typeof setInterval> | undefined;
  let after: number | null = null;
  let attempt = 0;
  let starts = 0;
  /** When an answer began to be due, ms; null where none is. */
  let asked_ms: number | null = null;

  const drop = () => {
    clearInterval(pulse);
    if (socket) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
    socket = null;
  };
  const lose = () => {
    drop();
    const wait_ms = Math.max(250, backoff_ms(attempt, Math.random(), 1_000, 30_000));
    timer = setTimeout(connect, wait_ms);
    attempt += 1;
    changed({ state: 'reconnecting', attempt, next_try_ms: Date.now() + wait_ms });
  };
  const beat = () => {
    if (asked_ms !== null) {
      if (Date.now() - asked_ms >= SILENT_MS) lose();
      return;
    }
    asked_ms = Date.now();
    socket?.send(JSON.stringify({ op: 'ping', id: starts }));
  };
  const connect = () => {
    const url = new URL('/ws/events', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    if (after !== null) url.searchParams.set('after', String(after));
    socket = new WebSocket(url);
    asked_ms = Date.now();
    pulse = setInterval(beat, PING_MS);
    changed({ next_try_ms: 0 });
    socket.onmessage = (message: MessageEvent<string>) => {
      attempt = 0;
      asked_ms = null;
      const event = JSON.parse(message.data) as EventMessage;
      if (event.type === 'hello') {
        after = event.after ?? after;
        starts += 1;
        changed({ state: 'live', attempt: 0, starts });
      }
      if (event.type !== 'event') return;
      after = event.id ?? after;
      if (event.kind) told(event.kind, event.subject ?? '', event.data ?? {});
    };
    socket.onclose = lose;
  };
  connect();
  return () => {
    clearTimeout(timer);
    drop();
  };
}

export function useEvents(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      followEvents(
        (kind, subject, data) => {
          if (kind === 'bar_revised') tellRevised(subject);
          tellEvent(kind, subject, data);
          for (const query of staleQueries(kind)) void client.invalidateQueries({ queryKey: [query] });
        },
        (stream) => useEventStream.setState(stream),
      ),
    [client],
  );
}
