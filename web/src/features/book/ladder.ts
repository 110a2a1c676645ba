// Numbers of the depth ladder: sums per level, spread and imbalance. Sums are exact; ratios and widths are floats.

import {
  addDecimal,
  type Decimal,
  mantissaAt,
  normaliseDecimal,
  parseDecimal,
  subtractDecimal,
  toNumber,
} from '@/shared/decimal';
import type { PriceSize } from '@/shared/stream-message';

export interface LadderRow {
  price: string;
  size: string;
  /** Size of this level and all better ones. */
  sum: Decimal;
  /** Shares of the larger side's whole sum, 0 to 1. */
  sizeShare: number;
  sumShare: number;
}

export interface Ladder {
  asks: LadderRow[];
  bids: LadderRow[];
  /** Best ask minus best bid; null while one side is empty. */
  spread: Decimal | null;
  /** Spread in basis points of the middle. */
  spread_bp: number | null;
  /** (bids - asks) / (bids + asks) of the sizes shown, -1 to 1. */
  imbalance: number | null;
  crossed: boolean;
  /** The larger of both sides' sums. */
  most: number;
}

const ZERO: Decimal = { mantissa: 0n, scale: 0 };
/** For widths and rounded sums only. */
export const float = (value: Decimal): number => toNumber(value.mantissa, value.scale);

function summed(levels: PriceSize[]): { price: string; size: string; sum: Decimal }[] {
  let sum = ZERO;
  return levels.map(([price, size]) => {
    sum = addDecimal(sum, parseDecimal(size));
    return { price, size, sum };
  });
}

export function ladder(bids: PriceSize[], asks: PriceSize[], depth: number): Ladder {
  const [bid, ask] = [summed(bids.slice(0, depth)), summed(asks.slice(0, depth))];
  const [bidSum, askSum] = [float(bid.at(-1)?.sum ?? ZERO), float(ask.at(-1)?.sum ?? ZERO)];
  const most = Math.max(bidSum, askSum, Number.MIN_VALUE);
  const share = (row: { size: string; sum: Decimal }) => ({
    sizeShare: Number(row.size) / most,
    sumShare: float(row.sum) / most,
  });
  const best = bids[0] && asks[0] ? { bid: parseDecimal(bids[0][0]), ask: parseDecimal(asks[0][0]) } : null;
  const spread = best ? subtractDecimal(best.ask, best.bid) : null;
  const middle = best ? (float(best.bid) + float(best.ask)) / 2 : 0;
  return {
    bids: bid.map((row) => ({ ...row, ...share(row) })),
    asks: ask.map((row) => ({ ...row, ...share(row) })),
    spread: spread && normaliseDecimal(spread),
    spread_bp: spread && middle > 0 ? (float(spread) / middle) * 10_000 : null,
    imbalance: bidSum + askSum > 0 ? (bidSum - askSum) / (bidSum + askSum) : null,
    most: Math.max(bidSum, askSum),
    crossed: spread !== null && mantissaAt(spread, spread.scale) <= 0n,
  };
}
