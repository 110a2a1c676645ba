import { describe, expect, it } from 'vitest';
import { ladder } from '@/features/book/ladder';
import { decimalText } from '@/shared/decimal';
import type { PriceSize } from '@/shared/stream-message';

const bids: PriceSize[] = [
  ['64231.5', '0.1'],
  ['64231.0', '0.2'],
];
const asks: PriceSize[] = [
  ['64232.0', '0.3'],
  ['64232.5', '0.6'],
];

describe('ladder', () => {
  it('sums sizes exactly and names the spread', () => {
    const { bids: rows, spread, spread_bp, imbalance, crossed } = ladder(bids, asks, 10);
    expect(rows.map(({ sum }) => decimalText(sum.mantissa, sum.scale))).toEqual(['0.1', '0.3']);
    expect(spread && decimalText(spread.mantissa, spread.scale)).toBe('0.5');
    expect(spread_bp).toBeCloseTo(0.0778, 3);
    expect(imbalance).toBeCloseTo(-0.5, 12);
    expect(crossed).toBe(false);
  });

  it('widths are shares of the larger side', () => {
    const { asks: rows, bids: other } = ladder(bids, asks, 10);
    expect(rows.at(-1)?.sumShare).toBe(1);
    expect(other.at(-1)?.sumShare).toBeCloseTo(1 / 3, 12);
  });

  it('an empty side has no spread', () => {
    expect(ladder(bids, [], 10)).toMatchObject({
      spread: null,
      spread_bp: null,
      imbalance: 1,
      crossed: false,
    });
    expect(ladder([], [], 10)).toMatchObject({ imbalance: null });
  });

  it('a crossed book is named as one', () => {
    expect(ladder([['10', '1']], [['9', '1']], 10).crossed).toBe(true);
    expect(ladder([['10', '1']], [['10', '1']], 10).crossed).toBe(true);
  });
});
