import { expect, it } from 'vitest';
import { pairOf } from '@/shared/market';

it.each([
  ['BTC-USD.sim-kraken', 'BTC-USD'],
  ['AAPL.alpaca', 'AAPL'],
  ['BRK.B.alpaca', 'BRK.B'],
])('%s is called %s beside its venue', (instrument, name) => {
  expect(pairOf({ instrument })).toBe(name);
});
