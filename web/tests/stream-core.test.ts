import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoff_ms, type Effect, PENDING_TRADES, StreamCore, type Update } from '@/shared/stream-core';

const VENUE = 'sim-kraken';
const BTC = 'BTC-USD.sim-kraken';

/** A core with one confirmed subscription, and helpers that speak as the bridge does. */
function connected(from: [number, number] = [1, 100]) {
  const core = new StreamCore();
  core.subscribe(1, { instruments: [BTC], channels: ['trades', 'book'], depth: 3 });
  core.connecting(0, 0);
  core.opened(0);
  let prev: number | null = null;
  const say = (message: object, now_ms = 1) => core.message(JSON.stringify(message), now_ms);
  say({
    type: 'hello',
    version: 1,
    venues: { [VENUE]: { epoch: 1, sequence: 100, instruments: [BTC] } },
    heartbeat_s: 1,
  });
  const confirm = (position: [number, number]) => {
    prev = null;
    return say({ type: 'subscribed', id: 1, instruments: [BTC], channels: [], from: { [VENUE]: position } });
  };
  const data = (sequence: number, body: object) => {
    const effects = say({ prev, id: 1, venue: VENUE, instrument: BTC, epoch: 1, sequence, ...body });
    prev = sequence;
    return effects;
  };
  const trade = (sequence: number, price = '10.0') => {
    const row = {
      sequence,
      ts_event: '1',
      ts_recv: '1',
      price,
      size: '1',
      aggressor: 'buy',
      id: String(sequence),
    };
    return data(sequence, { type: 'trades', rows: [row] });
  };
  const book = (sequence: number, kind: string, bids: [string, string][], asks: [string, string][] = []) =>
    data(sequence, {
      type: 'book',
      kind,
      valid: true,
      bids,
      asks,
      ts_event: '1',
      ts_recv: '2',
      conflated: 0,
    });
  const take = (): Update => {
    const update = core.drain()?.updates[0]?.[1];
    if (!update) throw new Error('nothing changed');
    return update;
  };
  confirm(from);
  return { core, say, confirm, data, trade, book, take, lose: () => (prev = -1) };
}

const sent = (effects: Effect[]) =>
  effects.flatMap((effect) => (effect.kind === 'send' ? [JSON.parse(effect.text)] : []));

describe('subscription', () => {
  it('asks when the bridge has said hello, and again from the last position after a cut', () => {
    const { core, trade, take } = connected();
    trade(101);
    trade(105);
    take();
    core.closed({ attempt: 1, next_try_ms: 500, online: true });
    core.connecting(1, 0);
    const effects = core.message(
      JSON.stringify({ type: 'hello', version: 1, venues: {}, heartbeat_s: 1 }),
      2,
    );
    expect(sent(effects)).toEqual([
      expect.objectContaining({ op: 'subscribe', id: 1, instruments: [BTC], from: { [VENUE]: [1, 105] } }),
    ]);
  });

  it('begins where the bridge says, without a position of its own', () => {
    const { take } = connected([1, 100]);
    expect(take().start).toEqual({ [VENUE]: { epoch: 1, sequence: 100 } });
  });

  it('a whole resume is silent, a lapped one says where it begins', () => {
    const { core, trade, confirm, take } = connected();
    trade(101);
    take();
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 100 } }, 1);
    confirm([1, 100]);
    trade(101);
    expect(take().start).toBeNull();
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 50 } }, 2);
    confirm([1, 90]);
    expect(take().start).toEqual({ [VENUE]: { epoch: 1, sequence: 90 } });
  });

  it('leaves out what still belongs to the subscription before', () => {
    const { core, trade, confirm, take } = connected();
    take();
    trade(101);
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 100 } }, 1);
    expect(trade(102)).toEqual([]); // on its way when the resume was sent: no hole
    confirm([1, 100]);
    trade(101);
    trade(102);
    const update = take();
    expect(update.generation).toBe(1);
    expect(update.trades.map((row) => row.sequence)).toEqual([101, 102]);
  });

  it('an unknown subscription is nobody’s', () => {
    const { core, trade } = connected();
    core.unsubscribe(1);
    expect(trade(101)).toEqual([]);
    expect(core.drain()?.updates).toEqual([]);
  });
});

describe('refusal', () => {
  const refusal = {
    type: 'error',
    id: 1,
    code: 'instrument_unknown',
    category: 'not_found',
    message: 'no instrument',
    hint: 'nearest: none',
  };

  it('is told, asked again after two seconds, and taken back when the bridge knows better', () => {
    const { core, say, confirm, trade, take } = connected();
    take();
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 100 } }, 1);
    say(refusal, 1_000);
    expect(take().error).toMatchObject({ code: 'instrument_unknown', message: 'no instrument' });
    expect(core.tick(2_900)).toEqual([]);
    expect(sent(core.tick(3_000))).toEqual([
      expect.objectContaining({ op: 'subscribe', id: 1, from: { [VENUE]: [1, 100] } }),
    ]);
    expect(core.tick(3_500)).toEqual([]); // once
    say(refusal, 3_600);
    expect(sent(core.tick(5_600))).toHaveLength(1);
    confirm([1, 100]);
    expect(take().error).toBeNull();
    trade(101);
    expect(take()).toMatchObject({ error: undefined, trades: [{ sequence: 101 }] });
  });

  it('a resume of what was refused is answered by what the bridge says of the subscribe', () => {
    const { core, say, confirm, trade, take } = connected();
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 100 } }, 1);
    say(refusal);
    take();
    core.resume(1, { [VENUE]: { epoch: 1, sequence: 99 } }, 2);
    say({ ...refusal, code: 'subscription_unknown' }); // to the unsubscribe
    expect(core.drain()).toBeNull();
    confirm([1, 99]);
    trade(101);
    expect(take()).toMatchObject({ error: null, generation: 2, trades: [{ sequence: 101 }] });
  });

  it('of a position of another journal begins anew, without it', () => {
    const { core, say, confirm, take } = connected();
    take();
    core.closed({ attempt: 1, next_try_ms: 0, online: true });
    say({ type: 'hello', version: 1, venues: {}, heartbeat_s: 1 });
    const [again] = sent(say({ ...refusal, code: 'position_foreign', category: 'conflict' }));
    expect(again).toMatchObject({ op: 'subscribe', id: 1 });
    expect(again).not.toHaveProperty('from');
    confirm([1, 7]);
    expect(take()).toMatchObject({
      anew: true,
      error: undefined,
      start: { [VENUE]: { epoch: 1, sequence: 7 } },
    });
  });
});

describe('chain', () => {
  it('a missing message opens a gap and asks again from the last position held', () => {
    const { trade, take, lose, confirm } = connected();
    trade(101);
    lose();
    const effects = trade(104);
    expect(sent(effects).map(({ op, from }) => [op, from])).toEqual([
      ['unsubscribe', undefined],
      ['subscribe', { [VENUE]: [1, 101] }],
    ]);
    let update = take();
    expect(update.trades.map((row) => row.sequence)).toEqual([101]);
    expect(update.gaps).toEqual([
      expect.objectContaining({ edge: 'open', origin: 'stream', cause: 'hole', gap: [1, 101] }),
    ]);
    confirm([1, 101]);
    trade(103);
    trade(104);
    update = take();
    expect(update.trades.map((row) => row.sequence)).toEqual([103, 104]);
    expect(update.gaps).toEqual([expect.objectContaining({ edge: 'end', origin: 'stream' })]);
  });

  it('a hole that the platform can no longer fill stays open', () => {
    const { trade, take, lose, confirm } = connected();
    lose();
    trade(104);
    take();
    confirm([1, 200]);
    const update = take();
    expect(update.gaps).toEqual([]);
    expect(update.start).toEqual({ [VENUE]: { epoch: 1, sequence: 200 } });
  });

  it('a first message must have no predecessor', () => {
    const { say } = connected();
    const effects = say({
      prev: 3,
      id: 1,
      venue: VENUE,
      instrument: BTC,
      epoch: 1,
      sequence: 101,
      type: 'trades',
      rows: [],
    });
    expect(sent(effects)).toHaveLength(2);
  });

  it('loses, doubles and invents nothing, whatever is lost on the way', () => {
    const lossy = fc.array(fc.boolean(), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(lossy, (losses) => {
        const core = new StreamCore();
        core.subscribe(1, { instruments: [BTC], channels: ['trades'] });
        core.connecting(0, 0);
        const received: number[] = [];
        let from = 0;
        let prev: number | null = null;
        let sequence = 0;
        const perform = (effects: Effect[]): void => {
          for (const request of sent(effects)) {
            if (request.op !== 'subscribe') continue;
            from = request.from?.[VENUE]?.[1] ?? sequence;
            prev = null;
            say({ type: 'subscribed', id: 1, instruments: [], channels: [], from: { [VENUE]: [1, from] } });
            for (let i = from + 1; i <= sequence; i++) send(i, false);
          }
        };
        const say = (message: object) => perform(core.message(JSON.stringify(message), 1));
        const send = (at: number, lost: boolean) => {
          const row = {
            sequence: at,
            ts_event: '1',
            ts_recv: '1',
            price: '1',
            size: '1',
            aggressor: 'buy',
            id: null,
          };
          const message = {
            prev,
            id: 1,
            venue: VENUE,
            instrument: BTC,
            epoch: 1,
            sequence: at,
            type: 'trades',
            rows: [row],
          };
          prev = at;
          if (!lost) say(message);
        };
        say({ type: 'hello', version: 1, venues: {}, heartbeat_s: 1 });
        for (const lost of losses) {
          sequence += 1;
          send(sequence, lost);
        }
        sequence += 1;
        send(sequence, false);
        for (const [, update] of core.drain()?.updates ?? []) {
          received.push(...update.trades.map((row) => row.sequence));
        }
        expect(received).toEqual(Array.from({ length: sequence }, (_, i) => i + 1));
      }),
    );
  });
});

describe('book', () => {
  it('a snapshot replaces, a delta sets absolutely, zero removes', () => {
    const { book, take } = connected();
    book(
      101,
      'snapshot',
      [
        ['10.0', '1'],
        ['9.5', '2'],
      ],
      [['10.5', '3']],
    );
    book(
      102,
      'delta',
      [
        ['9.5', '0'],
        ['9.0', '4'],
        ['10.0', '1.5'],
      ],
      [['11.0', '0.5']],
    );
    expect(take().books[BTC]).toMatchObject({
      state: 'valid',
      bids: [
        ['10.0', '1.5'],
        ['9.0', '4'],
      ],
      asks: [
        ['10.5', '3'],
        ['11.0', '0.5'],
      ],
    });
  });

  it('1.10 and 1.1 are one level', () => {
    const { book, take } = connected();
    book(101, 'snapshot', [['1.10', '1']]);
    book(102, 'delta', [['1.1', '2']]);
    expect(take().books[BTC]?.bids).toEqual([['1.1', '2']]);
  });

  it('sorts by value and not by text', () => {
    const { book, take } = connected();
    book(
      101,
      'snapshot',
      [
        ['9.9', '1'],
        ['10.0', '1'],
        ['100.0', '1'],
      ],
      [
        ['101', '1'],
        ['1000', '1'],
        ['200', '1'],
      ],
    );
    const view = take().books[BTC];
    expect(view?.bids.map(([price]) => price)).toEqual(['100.0', '10.0', '9.9']);
    expect(view?.asks.map(([price]) => price)).toEqual(['101', '200', '1000']);
  });

  it('is never valid after a failed check until a whole snapshot', () => {
    const { book, data, take } = connected();
    book(101, 'snapshot', [['10.0', '1']]);
    data(102, { type: 'status', channel: 'book', code: 'invalid', ts_recv: '5' });
    expect(take().books[BTC]?.state).toBe('invalid');
    book(103, 'delta', [['9.0', '1']]);
    expect(take().books[BTC]?.state).toBe('invalid');
    data(104, { type: 'status', channel: 'book', code: 'valid', ts_recv: '6' });
    book(105, 'snapshot', [['9.0', '2']]);
    expect(take().books[BTC]).toMatchObject({ state: 'valid', bids: [['9.0', '2']] });
  });

  it('a snapshot may itself say that it is not valid', () => {
    const { data, take } = connected();
    data(101, {
      type: 'book',
      kind: 'snapshot',
      valid: false,
      bids: [['1', '1']],
      asks: [],
      ts_event: '1',
      ts_recv: '1',
    });
    expect(take().books[BTC]?.state).toBe('invalid');
  });

  it('waits after a cut and takes no delta before the snapshot', () => {
    const { core, book, take, confirm, say } = connected();
    book(101, 'snapshot', [['10.0', '1']]);
    take();
    core.closed({ attempt: 1, next_try_ms: 0, online: true });
    expect(take().books[BTC]).toMatchObject({ state: 'waiting', bids: [] });
    say({ type: 'hello', version: 1, venues: {}, heartbeat_s: 1 });
    confirm([1, 101]);
    book(102, 'delta', [['9.0', '1']]);
    expect(take().books[BTC]).toMatchObject({ state: 'waiting', bids: [] });
  });

  it('snapshot and deltas end in the same book as their sum', () => {
    const level = fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(fc.array(fc.array(level, { maxLength: 6 }), { maxLength: 20 }), (deltas) => {
        const { core, data } = connected();
        const naive = new Map<number, number>();
        const side = (levels: [number, number][]) =>
          levels.map(([price, size]): [string, string] => [
            (price / 10).toFixed(price % 2 ? 1 : 2),
            String(size),
          ]);
        const message = (sequence: number, kind: string, levels: [number, number][]) =>
          data(sequence, { type: 'book', kind, bids: side(levels), asks: [], ts_event: '1', ts_recv: '1' });
        message(101, 'snapshot', []);
        deltas.forEach((levels, i) => {
          for (const [price, size] of levels) {
            if (size === 0) naive.delete(price);
            else naive.set(price, size);
          }
          message(102 + i, 'delta', levels);
        });
        const expected = [...naive].sort((a, b) => b[0] - a[0]).slice(0, 3);
        const shown = core.drain()?.updates[0]?.[1].books[BTC]?.bids ?? [];
        expect(shown.map(([price, size]) => [Math.round(Number(price) * 10), Number(size)])).toEqual(
          expected,
        );
      }),
    );
  });
});

describe('back-pressure', () => {
  it('books and quotes conflate, trades are kept and then dropped with a word', () => {
    const { book, trade, core, take } = connected();
    for (let i = 0; i < 50; i++) book(101 + i, i === 0 ? 'snapshot' : 'delta', [['10.0', String(i + 1)]]);
    expect(Object.keys(take().books)).toHaveLength(1);
    for (let i = 0; i <= PENDING_TRADES; i++) trade(200 + i);
    const update = take();
    expect(update.overflow).toBe(true);
    expect(update.trades).toHaveLength(1);
    expect(core.drain()).toBeNull();
  });
});

describe('connection', () => {
  it('silence dims first and then closes', () => {
    const { core } = connected();
    core.drain();
    expect(core.tick(2_000)).toEqual([]);
    expect(core.drain()).toBeNull();
    expect(core.tick(3_500)).toEqual([]);
    expect(core.drain()?.connection.state).toBe('stale');
    expect(core.tick(9_000)).toEqual([{ kind: 'close' }]);
  });

  it('a long reading of history is not silence', () => {
    const { core, say } = connected();
    for (let now_ms = 1_000; now_ms <= 20_000; now_ms += 1_000) {
      say({ type: 'catching', id: 1 }, now_ms);
      expect(core.tick(now_ms + 500)).toEqual([]);
    }
    expect(core.drain()?.connection.state).toBe('live');
  });

  it('a socket that never says hello is left', () => {
    const core = new StreamCore();
    core.connecting(0, 1_000);
    core.opened(1_200);
    expect(core.tick(10_900)).toEqual([]);
    expect(core.tick(11_100)).toEqual([{ kind: 'close' }]);
    core.closed({ attempt: 1, next_try_ms: 12_000, online: true });
    expect(core.tick(30_000)).toEqual([]); // nothing is open
  });

  it('a heartbeat is a sign of life and tells the clocks apart', () => {
    const { core, say } = connected();
    const heartbeat = (sequence: number, now_ms: number, state = 'live') => {
      const venue = { epoch: 1, sequence, state, messages_per_s: 0 };
      say({ type: 'heartbeat', ts: '5000000000', venues: { [VENUE]: venue } }, now_ms);
    };
    core.tick(4_000);
    heartbeat(100, 4_500, 'stale');
    const batch = core.drain();
    expect(batch?.connection).toMatchObject({ state: 'live', clock_offset_ms: 500 });
    // Nothing is claimed of a movement that was not seen.
    expect(batch?.venues[VENUE]).toMatchObject({ state: 'stale', moved_ms: 0 });
    heartbeat(101, 5_500);
    heartbeat(101, 6_500);
    expect(core.drain()?.venues[VENUE]).toMatchObject({ moved_ms: 5_500 });
    // What a collector records about its own trouble is no news from the venue.
    heartbeat(103, 7_500, 'reconnecting');
    expect(core.drain()?.venues[VENUE]).toMatchObject({ moved_ms: 5_500 });
  });

  it('an auth error signs out and does not turn into a reconnect', () => {
    const { core, say } = connected();
    const effects = say({ type: 'error', code: 'session', category: 'auth', message: 'no session' });
    expect(effects).toEqual([{ kind: 'close' }]);
    core.closed({ attempt: 1, next_try_ms: 0, online: true });
    expect(core.drain()?.connection.state).toBe('signed_out');
  });

  it('a slow page that was cut comes back from its positions', () => {
    const { say } = connected();
    expect(say({ type: 'cut', reason: 'slow', positions: {} })).toEqual([{ kind: 'close' }]);
  });

  it('full jitter: between nothing and a bound that doubles to its cap', () => {
    fc.assert(
      fc.property(
        fc.nat(60),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (attempt, random) => {
          const delay = backoff_ms(attempt, random);
          expect(delay).toBeGreaterThanOrEqual(0);
          expect(delay).toBeLessThanOrEqual(Math.min(15_000, 500 * 2 ** attempt));
        },
      ),
    );
  });
});
