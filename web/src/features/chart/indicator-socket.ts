// The page's one connection to /ws/indicators: subscribes again by itself after every cut, from where each one stands.

import { backoff_ms } from '@/shared/stream-core';

export interface SocketRequest {
  instrument: string;
  interval: string;
  indicator: string;
  params: Record<string, number>;
  since?: string;
}

export type Values = Record<string, number | null>;

export interface SocketListener {
  /** Where to go on after a cut: start of the last closed bar it has, ns. */
  from(): string | undefined;
  /** Replaces everything from the first of these bars on. */
  snapshot(ts: string[], values: Record<string, (number | null)[]>): void;
  value(ts: string, values: Values, closed: boolean): void;
  error(code: string, message: string): void;
}

interface Message {
  type: string;
  id?: number | null;
  ts?: string | string[];
  values?: Record<string, number | null | (number | null)[]>;
  current?: { ts: string; values: Values } | null;
  closed?: boolean;
  code?: string;
  message?: string;
}

const PING_MS = 5_000;
const SILENT_MS = 12_000;
/** A connection that nobody needs is kept so long: another interval is a moment away. */
const LINGER_MS = 2_000;
/** The platform takes 20 messages a second. */
const MESSAGES_PER_S = 15;
/** Bars that may have been missed. */
const LIMIT = 50_000;

export class IndicatorSocket {
  private readonly open: (url: string) => WebSocket;
  private readonly wanted = new Map<number, { request: SocketRequest; listener: SocketListener }>();
  private socket: WebSocket | null = null;
  private live = false;
  private nextId = 1;
  private attempt = 0;
  private heard_ms = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pulse: ReturnType<typeof setInterval> | undefined;
  private leaving: ReturnType<typeof setTimeout> | undefined;
  private flushing: ReturnType<typeof setTimeout> | undefined;
  private waiting: { op: string; id: number }[] = [];
  /** When messages left in the last second, ms. */
  private said_ms: number[] = [];

  constructor(open: (url: string) => WebSocket = (url) => new WebSocket(url)) {
    this.open = open;
  }

  /** Returns what ends it. */
  subscribe(request: SocketRequest, listener: SocketListener): () => void {
    const id = this.nextId++;
    this.wanted.set(id, { request, listener });
    clearTimeout(this.leaving);
    if (this.live) this.ask(id);
    else if (!this.socket && this.timer === undefined) this.connect();
    return () => {
      if (!this.wanted.delete(id)) return;
      if (this.live) this.say({ op: 'unsubscribe', id });
      if (this.wanted.size === 0) this.leaving = setTimeout(() => this.drop(), LINGER_MS);
    };
  }

  private connect(): void {
    this.timer = undefined;
    const url = new URL('/ws/indicators', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = this.open(url.href);
    this.socket = socket;
    this.heard_ms = Date.now();
    this.pulse = setInterval(() => {
      if (Date.now() - this.heard_ms > SILENT_MS) this.lose();
      else if (this.live) this.say({ op: 'ping', id: 0 });
    }, PING_MS);
    socket.onmessage = (event: MessageEvent<string>) => this.take(JSON.parse(event.data) as Message);
    socket.onclose = () => this.lose();
  }

  private take(message: Message): void {
    this.heard_ms = Date.now();
    if (message.type === 'hello') {
      this.live = true;
      this.attempt = 0;
      for (const id of this.wanted.keys()) this.ask(id);
      return;
    }
    const listener = this.wanted.get(message.id ?? -1)?.listener;
    if (!listener) return;
    if (message.type === 'snapshot') {
      listener.snapshot(message.ts as string[], message.values as Record<string, (number | null)[]>);
      if (message.current) listener.value(message.current.ts, message.current.values, false);
    } else if (message.type === 'value') {
      listener.value(message.ts as string, message.values as Values, message.closed === true);
    } else if (message.type === 'error') {
      listener.error(message.code ?? '', message.message ?? '');
    }
  }

  private ask(id: number): void {
    const one = this.wanted.get(id);
    if (!one) return;
    const start = one.listener.from();
    this.say({ op: 'subscribe', id, ...one.request, limit: LIMIT, ...(start ? { start } : {}) });
  }

  private say(message: { op: string; id: number; [field: string]: unknown }): void {
    // What was not even asked for yet need not be taken back.
    const waits = this.waiting.findIndex(({ op, id }) => op === 'subscribe' && id === message.id);
    if (message.op === 'unsubscribe' && waits >= 0) this.waiting.splice(waits, 1);
    else this.waiting.push(message);
    this.flush();
  }

  private flush(): void {
    const now_ms = Date.now();
    this.said_ms = this.said_ms.filter((at) => now_ms - at < 1_000);
    while (this.waiting.length > 0 && this.said_ms.length < MESSAGES_PER_S) {
      this.socket?.send(JSON.stringify(this.waiting.shift()));
      this.said_ms.push(now_ms);
    }
    clearTimeout(this.flushing);
    if (this.waiting.length > 0) this.flushing = setTimeout(() => this.flush(), 100);
  }

  private drop(): void {
    clearTimeout(this.flushing);
    this.waiting = [];
    clearInterval(this.pulse);
    clearTimeout(this.timer);
    this.timer = undefined;
    this.live = false;
    const { socket } = this;
    this.socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  private lose(): void {
    this.drop();
    if (this.wanted.size === 0) return;
    const wait_ms = Math.max(250, backoff_ms(this.attempt, Math.random(), 1_000, 30_000));
    this.attempt += 1;
    this.timer = setTimeout(() => this.connect(), wait_ms);
  }
}

export const indicatorSocket = new IndicatorSocket();
