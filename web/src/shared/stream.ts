// The one market-data client of the page. Screens subscribe here; batches come at most once per drawn frame.

import { create } from 'zustand';
import type { Position } from './position';
import type { Batch, Connection, SubscriptionRequest, Update, VenueFeed } from './stream-core';
import type { ToWorker } from './stream-worker';

interface Feed {
  connection: Connection;
  venues: Record<string, VenueFeed>;
  /** Messages this page received in the last whole second. */
  messages_per_s: number;
  /** Gap openings seen on the stream since the page was loaded. */
  gaps: number;
}

/** State of the connection and of every venue's feed. */
export const useFeed = create<Feed>(() => ({
  connection: { state: 'connecting', attempt: 0, next_try_ms: 0, last_message_ms: 0, clock_offset_ms: 0 },
  venues: {},
  messages_per_s: 0,
  gaps: 0,
}));

export interface Subscription {
  /** Asks again for everything after these positions; updates that answer it carry this generation. */
  resume(from: Record<string, Position>, generation: number): void;
  close(): void;
}

type Listener = (update: Update) => void;

/** Hidden pages draw no frames; they still take their batches, slowly. */
const HIDDEN_MS = 500;

class StreamClient {
  private worker: Worker | null = null;
  private readonly listeners = new Map<number, Listener>();
  /** What screens asked for before the address of the stream was known. */
  private early: ToWorker[] = [];
  private nextId = 1;
  private count = 0;
  private countedSince_ms = 0;

  start(path: string): void {
    if (this.worker) return;
    this.worker = new Worker(new URL('./stream-worker.ts', import.meta.url), {
      type: 'module',
      name: 'stream',
    });
    this.worker.onmessage = (event: MessageEvent<Batch>) => this.schedule(event.data);
    const url = new URL(path, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    this.post({ kind: 'start', url: url.href });
    for (const message of this.early) this.post(message);
    this.early = [];
  }

  subscribe(request: SubscriptionRequest, listener: Listener): Subscription {
    const id = this.nextId++;
    this.listeners.set(id, listener);
    this.post({ kind: 'subscribe', id, request });
    return {
      resume: (from, generation) => this.post({ kind: 'resume', id, from, generation }),
      close: () => {
        this.listeners.delete(id);
        this.post({ kind: 'unsubscribe', id });
      },
    };
  }

  reconnect(): void {
    this.post({ kind: 'reconnect' });
  }

  private post(message: ToWorker): void {
    if (this.worker) this.worker.postMessage(message);
    else this.early.push(message);
  }

  private schedule(batch: Batch): void {
    let done = false;
    const run = () => {
      if (done) return;
      done = true;
      clearTimeout(fallback);
      this.deliver(batch);
      this.post({ kind: 'ready' });
    };
    const fallback = setTimeout(run, HIDDEN_MS);
    requestAnimationFrame(run);
  }

  private deliver(batch: Batch): void {
    this.count += batch.messages;
    let gaps = 0;
    for (const [, update] of batch.updates) gaps += update.gaps.filter((gap) => gap.edge === 'open').length;
    const now_ms = Date.now();
    const elapsed_ms = now_ms - this.countedSince_ms;
    const rate = elapsed_ms >= 1000 ? { messages_per_s: (this.count * 1000) / elapsed_ms } : {};
    if (elapsed_ms >= 1000) {
      this.countedSince_ms = now_ms;
      this.count = 0;
    }
    useFeed.setState((feed) => ({
      connection: same(feed.connection, batch.connection) ? feed.connection : batch.connection,
      venues: sameVenues(feed.venues, batch.venues) ? feed.venues : batch.venues,
      gaps: feed.gaps + gaps,
      ...rate,
    }));
    for (const [id, update] of batch.updates) this.listeners.get(id)?.(update);
  }
}

/** The time of the last message changes with every batch; screens that follow it read it on their own clock. */
function same(a: Connection, b: Connection): boolean {
  return (
    a.state === b.state &&
    a.attempt === b.attempt &&
    a.next_try_ms === b.next_try_ms &&
    Math.abs(a.clock_offset_ms - b.clock_offset_ms) < 250 &&
    (b.state === 'live' || a.last_message_ms === b.last_message_ms)
  );
}

function sameVenues(a: Record<string, VenueFeed>, b: Record<string, VenueFeed>): boolean {
  const names = Object.keys(b);
  if (names.length !== Object.keys(a).length) return false;
  return names.every((name) => {
    const [x, y] = [a[name], b[name]];
    return (
      x && y && x.state === y.state && x.sequence === y.sequence && x.messages_per_s === y.messages_per_s
    );
  });
}

export const stream = new StreamClient();
