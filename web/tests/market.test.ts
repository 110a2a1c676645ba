import { expect, it, vi } from 'vitest';
import { Market, pairOf } from '@/shared/market';
import { stream } from '@/shared/stream';
import type { StreamTrade, Update } from '@/shared/stream-core';

const INSTRUMENT = 'BTC-USD.sim-kraken';
const VENUE = 'sim-kraken';

const trade = (epoch: number, sequence: number): StreamTrade => ({
  instrument: INSTRUMENT,
  venue: VENUE,
  epoch,
  sequence,
  ts_event: '1',
  ts_recv: '1',
  price: '10.0',
  size: '1',
  aggressor: 'buy',
  id: null,
});

/** A market, and what the stream tells it. */
function opened(): { market: Market; tell: (update: Partial<Update>) => void } {
  let listener: ((update: Update) => void) | undefined;
  vi.spyOn(stream, 'subscribe').mockImplementation((_, take) => {
    listener = take;
    return { resume: () => undefined, close: () => undefined };
  });
  const market = new Market(INSTRUMENT);
  market.open();
  const nothing: Update = {
    generation: 0,
    start: null,
    trades: [],
    quotes: {},
    books: {},
    closes: {},
    statuses: [],
    gaps: [],
    overflow: false,
    anew: false,
    error: undefined,
  };
  return { market, tell: (update) => listener?.({ ...nothing, ...update }) };
}

const shown = (market: Market) => market.read().tape.map(({ epoch, sequence }) => [epoch, sequence]);

it('a tape goes on over a resume without doubles, and begins anew with a journal made anew', () => {
  const { market, tell } = opened();
  tell({ start: { [VENUE]: { epoch: 3, sequence: 10 } }, trades: [trade(3, 11), trade(3, 12)] });
  tell({ trades: [trade(3, 12), trade(3, 13)] });
  expect(shown(market)).toEqual([
    [3, 13],
    [3, 12],
    [3, 11],
  ]);
  tell({ anew: true, start: { [VENUE]: { epoch: 3, sequence: 2 } }, trades: [trade(3, 3)] });
  expect(shown(market)).toEqual([[3, 3]]);
});

it('an error stays until the stream takes it back', () => {
  const { market, tell } = opened();
  tell({ error: { code: 'instrument_unknown', message: 'no instrument', hint: null } });
  tell({ quotes: {} });
  expect(market.read().error?.code).toBe('instrument_unknown');
  tell({ error: null });
  expect(market.read().error).toBeNull();
});

it.each([
  ['BTC-USD.sim-kraken', 'BTC-USD'],
  ['AAPL.alpaca', 'AAPL'],
  ['BRK.B.alpaca', 'BRK.B'],
])('%s is called %s beside its venue', (instrument, name) => {
  expect(pairOf({ instrument })).toBe(name);
});
