import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Bars } from '@/api/types';
import { BarFeed } from '@/features/chart/bar-feed';
import { tellRevised } from '@/shared/events';
import type { MarketListener, TradeSource } from '@/shared/market';
import type { Position } from '@/shared/position';
import type { StreamTrade } from '@/shared/stream-core';

const TRADES = 40;

const trade = (sequence: number): StreamTrade => ({
  sequence,
  epoch: 1,
  instrument: 'X',
  venue: 'v',
  ts_event: String(BigInt(sequence) * 700_000_000n),
  ts_recv: '0',
  price: String(100 + ((sequence * 7) % 13)),
  size: '1',
  aggressor: 'buy',
  id: null,
});

/** Bars of one second through a sequence, the obvious way. */
function bars(through: number): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (let i = 1; i <= through; i++) {
    const start = Math.floor((i * 700) / 1000);
    found.set(start, [...(found.get(start) ?? []), Number(trade(i).price)]);
  }
  return found;
}

function page(through: number): Bars {
  const all = [...bars(through)];
  const column = (pick: (prices: number[]) => number) => all.map(([, prices]) => pick(prices));
  return {
    instrument: 'X',
    interval: '1s',
    ts: all.map(([start]) => `${start}000000000`),
    open: column((prices) => prices[0] ?? 0),
    high: column((prices) => Math.max(...prices)),
    low: column((prices) => Math.min(...prices)),
    close: column((prices) => prices.at(-1) ?? 0),
    volume: column((prices) => prices.length),
    trades: column((prices) => prices.length),
    revision: all.map(() => 0),
    current: null,
    settling: 0,
    through: { epoch: 1, sequence: through },
    complete: true,
    gaps: [],
    next: null,
  };
}

/** A stream that can be told what happens next. Nothing from before a resume comes after it. */
class Script implements TradeSource {
  readonly instrument = 'X';
  position: Position | null = null;
  /** Last trade that exists, and last one that was sent. */
  now = 0;
  private sent = 0;
  /** The oldest trade that the platform still has. */
  oldest = 1;
  private listener: MarketListener | null = null;

  listen(listener: MarketListener): () => void {
    this.listener = listener;
    return () => {
      this.listener = null;
    };
  }

  resume({ sequence }: Position): void {
    this.at(sequence);
    if (this.oldest - 1 > sequence) this.begin(this.oldest - 1);
  }

  /** The subscription is answered, or begins again after a loss. */
  begin(sequence: number): void {
    this.at(sequence);
    this.listener?.start({ epoch: 1, sequence });
  }

  send(count: number): void {
    const rows: StreamTrade[] = [];
    for (let i = 0; i < count && this.sent < this.now; i++) {
      this.sent += 1;
      rows.push(trade(this.sent));
    }
    if (rows.length === 0) return;
    this.position = { epoch: 1, sequence: this.sent };
    this.listener?.trades(rows);
  }

  private at(sequence: number): void {
    this.sent = sequence;
    this.position = { epoch: 1, sequence };
  }
}

let answers: ((through: number) => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  vi.stubGlobal('fetch', () => {
    return new Promise((resolve) => {
      answers.push((through) => resolve(new Response(JSON.stringify(page(through)))));
    });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = () => vi.advanceTimersByTimeAsync(0);

type Step = ['trade', number] | ['send', number] | ['answer', number] | ['lose', number] | ['wait'];

const steps = fc.array(
  fc.oneof(
    fc.tuple(fc.constant('trade' as const), fc.integer({ min: 1, max: 4 })),
    fc.tuple(fc.constant('send' as const), fc.integer({ min: 1, max: 6 })),
    fc.tuple(fc.constant('answer' as const), fc.integer({ min: 0, max: 3 })),
    fc.tuple(fc.constant('lose' as const), fc.integer({ min: 0, max: 5 })),
    fc.tuple(fc.constant('wait' as const)),
  ),
  { maxLength: 40 },
);

it('ends in the bars of all trades, whatever comes first and whatever is lost on the way', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (script: Step[], begunBefore) => {
      answers = [];
      const source = new Script();
      source.now = 3;
      if (begunBefore) source.begin(3);
      const feed = new BarFeed(source, '1s', { price: 0, size: 0 }, () => undefined);
      if (!begunBefore) source.begin(2);
      const perform = async ([what, n = 0]: Step) => {
        if (what === 'trade') source.now = Math.min(TRADES, source.now + n);
        else if (what === 'send') source.send(n);
        // History may be behind what is already streamed.
        else if (what === 'answer') answers.shift()?.(Math.max(0, source.now - n));
        // The connection broke and the platform no longer has all that came in between.
        else if (what === 'lose') {
          source.oldest = Math.max(source.oldest, source.now - n + 1);
          source.begin(Math.max(source.oldest - 1, source.now - n));
        } else await vi.advanceTimersByTimeAsync(2_500);
        await settle();
      };
      for (const step of script) await perform(step);
      // Calm: everything is sent and every question answered, as often as the feed asks.
      for (let i = 0; i < 8; i++) {
        for (const step of [['send', TRADES], ['wait'], ['answer', 0], ['send', TRADES]] as Step[]) {
          await perform(step);
        }
      }
      const expected = [...bars(source.now)].map(([start, prices]) => ({
        start,
        open: BigInt(prices[0] ?? 0),
        close: BigInt(prices.at(-1) ?? 0),
        volume: BigInt(prices.length),
      }));
      feed.close();
      expect(
        feed.series.bars.map(({ start, open, close, volume }) => ({ start, open, close, volume })),
      ).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

it('reads its bars again when one of them was revised, once for many, and no more once it is closed', async () => {
  const source = new Script();
  source.begin(0);
  const feed = new BarFeed(source, '1s', { price: 0, size: 0 }, () => undefined);
  answers.shift()?.(0);
  await settle();
  tellRevised('another');
  await vi.advanceTimersByTimeAsync(2_500);
  expect(answers).toHaveLength(0);
  for (let i = 0; i < 5; i++) tellRevised('X');
  await vi.advanceTimersByTimeAsync(2_500);
  expect(answers).toHaveLength(1);
  feed.close();
  tellRevised('X');
  await vi.advanceTimersByTimeAsync(2_500);
  expect(answers).toHaveLength(1);
});
