// History and stream as they meet on a chart, through every part but the socket: worker, market, bars. A bridge that is played
// here sends what the real one would, and everything in between may come at any moment.

import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Bars } from '@/api/types';
import { BarFeed } from '@/features/chart/bar-feed';
import { Market } from '@/shared/market';
import { stream } from '@/shared/stream';
import { type Effect, StreamCore, type SubscriptionRequest, type Update } from '@/shared/stream-core';

const INSTRUMENT = 'X.v';
const STEP_NS = 700_000_000n;

const price = (sequence: number) => 100 + ((sequence * 7) % 13);

/** Starts of bars of one second, and how many trades up to a sequence each has. */
function counted(through: number): Map<number, number> {
  const found = new Map<number, number>();
  for (let i = 1; i <= through; i++) {
    const start = Number((BigInt(i) * STEP_NS) / 1_000_000_000n);
    found.set(start, (found.get(start) ?? 0) + 1);
  }
  return found;
}

function page(through: number): Bars {
  const all = [...counted(through)];
  const ones = all.map(() => 1);
  return {
    instrument: INSTRUMENT,
    interval: '1s',
    ts: all.map(([start]) => `${start}000000000`),
    open: ones,
    high: ones,
    low: ones,
    close: ones,
    volume: all.map(([, count]) => count),
    trades: all.map(([, count]) => count),
    revision: all.map(() => 0),
    current: null,
    settling: 0,
    through: { epoch: 1, sequence: through },
    complete: true,
    gaps: [],
    next: null,
  };
}

/** The bridge's side of one connection: what it was asked, and what is on its way to the page. */
class Bridge {
  /** Newest trade there is. */
  now = 3;
  readonly wire: object[] = [];
  /** Of the subscription there is, the last sequence sent, and the one of the message before. */
  private live: { id: number; sent: number; prev: number | null } | null = null;

  hear(text: string): void {
    const asked = JSON.parse(text) as { op: string; id: number; from?: Record<string, [number, number]> };
    if (asked.op === 'unsubscribe') {
      this.live = null;
      this.wire.push({ type: 'unsubscribed', id: asked.id });
      return;
    }
    const from = asked.from?.v ?? [1, this.now];
    this.live = { id: asked.id, sent: from[1], prev: null };
    this.wire.push({
      type: 'subscribed',
      id: asked.id,
      instruments: [INSTRUMENT],
      channels: [],
      from: { v: from },
    });
    this.send();
  }

  trade(count: number): void {
    this.now += count;
    this.send();
  }

  /** A message with all that is new, as the bridge merges what one look into the journal brings. */
  private send(): void {
    const { live } = this;
    if (!live || live.sent >= this.now) return;
    const rows = [];
    for (let sequence = live.sent + 1; sequence <= this.now; sequence++) {
      rows.push({
        sequence,
        ts_event: String(BigInt(sequence) * STEP_NS),
        ts_recv: '0',
        price: String(price(sequence)),
        size: '1',
        aggressor: 'buy',
        id: null,
      });
    }
    const { id, prev } = live;
    this.wire.push({
      type: 'trades',
      id,
      prev,
      venue: 'v',
      instrument: INSTRUMENT,
      epoch: 1,
      sequence: this.now,
      rows,
    });
    live.sent = live.prev = this.now;
  }
}

let answers: ((through: number) => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', () => {
    return new Promise((resolve) => {
      answers.push((through) => resolve(new Response(JSON.stringify(page(through)))));
    });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** A page with its worker; `wire` and `frame` say when a message reaches the worker and a batch the screens. */
function opened() {
  answers = [];
  const bridge = new Bridge();
  const core = new StreamCore();
  let take: (update: Update) => void = () => undefined;
  /** What the page has posted to its worker, which hears of it later. */
  const posted: (() => Effect[])[] = [];
  vi.spyOn(stream, 'subscribe').mockImplementation((request: SubscriptionRequest, listener) => {
    take = listener;
    posted.push(() => core.subscribe(1, request));
    return {
      resume: (from, generation) => posted.push(() => core.resume(1, from, generation)),
      close: () => undefined,
    };
  });
  const perform = (effects: Effect[]) => {
    for (const effect of effects) if (effect.kind === 'send') bridge.hear(effect.text);
  };
  const market = new Market(INSTRUMENT);
  market.open();
  bridge.wire.push({ type: 'hello', venues: { v: { epoch: 1, sequence: 3, instruments: [] } } });
  return {
    bridge,
    feed: new BarFeed(market, '1s', { price: 0, size: 0 }, () => undefined),
    worker: (count: number) => {
      for (const ask of posted.splice(0, count)) perform(ask());
    },
    wire: (count: number) => {
      for (const message of bridge.wire.splice(0, count)) perform(core.message(JSON.stringify(message), 0));
    },
    frame: () => {
      for (const [, update] of core.drain()?.updates ?? []) take(update);
    },
  };
}

const steps = fc.array(
  fc.oneof(
    fc.tuple(
      fc.constantFrom('trade' as const, 'wire' as const, 'worker' as const),
      fc.integer({ min: 1, max: 4 }),
    ),
    fc.tuple(fc.constant('answer' as const), fc.integer({ min: 0, max: 3 })),
    fc.tuple(fc.constant('frame' as const), fc.constant(0)),
  ),
  { maxLength: 40 },
);

it('counts every trade once, whenever history comes and however the stream is cut into batches', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (script) => {
      const { bridge, feed, worker, wire, frame } = opened();
      const perform = async (what: string, n: number) => {
        if (what === 'trade') bridge.trade(n);
        else if (what === 'worker') worker(n);
        else if (what === 'wire') wire(n);
        else if (what === 'frame') frame();
        else answers.shift()?.(Math.max(0, bridge.now - n));
        await vi.advanceTimersByTimeAsync(0);
      };
      for (const [what, n] of script) await perform(what, n);
      for (let i = 0; i < 6; i++) {
        for (const what of ['worker', 'wire', 'frame']) await perform(what, 100);
        await perform('answer', 0);
        await vi.advanceTimersByTimeAsync(2_500);
      }
      feed.close();
      expect(feed.series.bars.map(({ start, trades }) => [start, trades])).toEqual([...counted(bridge.now)]);
    }),
    { numRuns: 300 },
  );
});

it('a resume that is asked for at the beginning of an update leaves out the trades of that update', async () => {
  const { bridge, feed, worker, wire, frame } = opened();
  answers.shift()?.(3); // history ends before the stream begins
  await vi.advanceTimersByTimeAsync(0);
  bridge.trade(2);
  worker(1);
  wire(1);
  bridge.trade(1);
  wire(2);
  frame(); // begins after 5, and has 6 already
  for (let i = 0; i < 2; i++) {
    worker(9);
    wire(9);
    frame();
  }
  feed.close();
  expect(feed.series.bars.map(({ start, trades }) => [start, trades])).toEqual([...counted(6)]);
});
