// Web Worker: owns the WebSocket, parses, keeps books and positions. The page takes one batch at a time and asks for the next
// after it has drawn, so a slow page gets fewer, larger batches and never a queue of them.

import type { Position } from './position';
import { backoff_ms, type Effect, StreamCore, type SubscriptionRequest } from './stream-core';

export type ToWorker =
  | { kind: 'start'; url: string }
  | { kind: 'subscribe'; id: number; request: SubscriptionRequest }
  | { kind: 'unsubscribe'; id: number }
  | { kind: 'resume'; id: number; from: Record<string, Position>; generation: number }
  /** The page has drawn the last batch. */
  | { kind: 'ready' }
  /** Try now, without waiting out the delay. */
  | { kind: 'reconnect' };

const TICK_MS = 250;

const core = new StreamCore();
let url = '';
let socket: WebSocket | null = null;
let attempt = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let pageReady = true;

function perform(effects: Effect[]): void {
  for (const effect of effects) {
    if (effect.kind === 'close') lost();
    else if (socket?.readyState === WebSocket.OPEN) socket.send(effect.text);
  }
}

/** Leaves the socket at once: waiting for a dead peer's close handshake can take a minute. */
function lost(): void {
  if (!socket) return;
  const old = socket;
  socket = null;
  old.onopen = old.onmessage = old.onclose = null;
  old.close();
  const delay_ms = Math.max(100, backoff_ms(attempt, Math.random()));
  attempt += 1;
  core.closed({ attempt, next_try_ms: Date.now() + delay_ms, online: navigator.onLine });
  clearTimeout(timer);
  timer = setTimeout(connect, delay_ms);
  flush();
}

function connect(): void {
  clearTimeout(timer);
  core.connecting(attempt, Date.now());
  const opened = new WebSocket(url);
  socket = opened;
  opened.onopen = () => core.opened(Date.now());
  opened.onclose = lost;
  opened.onmessage = (event: MessageEvent<string>) => {
    try {
      const effects = core.message(event.data, Date.now());
      attempt = 0;
      perform(effects);
    } catch {
      lost(); // Not JSON: this is not our bridge, or its stream is broken. A new connection resumes at the last position.
    }
    flush();
  };
  flush();
}

function flush(): void {
  if (!pageReady) return;
  const batch = core.drain();
  if (!batch) return;
  pageReady = false;
  postMessage(batch);
}

self.addEventListener('message', (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  switch (message.kind) {
    case 'start':
      url = message.url;
      connect();
      break;
    case 'subscribe':
      perform(core.subscribe(message.id, message.request));
      break;
    case 'unsubscribe':
      perform(core.unsubscribe(message.id));
      break;
    case 'resume':
      perform(core.resume(message.id, message.from, message.generation));
      break;
    case 'ready':
      pageReady = true;
      flush();
      break;
    case 'reconnect':
      if (socket) lost();
      attempt = 0;
      connect();
      break;
  }
});

self.addEventListener('online', () => {
  if (!socket && url) connect();
});

setInterval(() => {
  perform(core.tick(Date.now()));
  flush();
}, TICK_MS);
