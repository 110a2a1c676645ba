// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type EventStream, followEvents } from '@/shared/events';

class Socket {
  static all: Socket[] = [];
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: unknown[] = [];
  closed = false;
  readonly url: string;

  constructor(url: URL) {
    this.url = String(url);
    Socket.all.push(this);
  }

  send(text: string) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  says(message: Record<string, unknown>) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  static get last(): Socket {
    const socket = Socket.all.at(-1);
    if (!socket) throw new Error('no socket was opened');
    return socket;
  }
}

let stream: Partial<EventStream> = {};
let told: unknown[] = [];
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', Socket);
  Socket.all = [];
  stream = {};
  told = [];
  stop = followEvents(
    (...event) => told.push(event),
    (change) => {
      stream = { ...stream, ...change };
    },
  );
});

afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('is live from the first word on, and gives kind, subject and data of each event', () => {
  expect(stream.state).toBeUndefined();
  Socket.last.says({ type: 'hello', after: 7 });
  Socket.last.says({ type: 'event', id: 8, kind: 'job_progress', subject: 'a', data: { progress: 0.5 } });
  expect(stream).toMatchObject({ state: 'live', starts: 1 });
  expect(told).toEqual([['job_progress', 'a', { progress: 0.5 }]]);
});

it('after a cut says so with its next try, and goes on after the last event it has', () => {
  Socket.last.says({ type: 'hello', after: 7 });
  Socket.last.says({ type: 'event', id: 9, kind: 'x' });
  Socket.last.onclose?.();
  expect(stream).toMatchObject({ state: 'reconnecting', attempt: 1 });
  expect(stream.next_try_ms).toBeGreaterThan(Date.now());
  vi.advanceTimersByTime(1_000);
  expect(Socket.all).toHaveLength(2);
  expect(new URL(Socket.last.url).searchParams.get('after')).toBe('9');
  expect(stream).toMatchObject({ state: 'reconnecting', next_try_ms: 0 });
  Socket.last.says({ type: 'hello', after: 9 });
  expect(stream).toMatchObject({ state: 'live', attempt: 0, starts: 2 });
});

it('a quiet stream that answers is live; one that does not is given up', () => {
  Socket.last.says({ type: 'hello', after: 0 });
  for (let second = 0; second < 60; second++) {
    vi.advanceTimersByTime(1_000);
    if (Socket.last.sent.length > 0) Socket.last.says({ type: 'pong' });
  }
  expect(Socket.all).toHaveLength(1);
  expect(stream.state).toBe('live');
  const hung = Socket.last;
  vi.advanceTimersByTime(13_000);
  expect(hung.closed).toBe(true);
  expect(stream.state).toBe('reconnecting');
});

it('a connection that never opens is tried anew', () => {
  vi.advanceTimersByTime(10_000);
  expect(Socket.all.length).toBeGreaterThan(1);
  expect(stream.state).toBe('reconnecting');
});
