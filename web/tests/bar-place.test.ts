import { describe, expect, it } from 'vitest';
import { placesFor } from '@/features/chart/bar-place';

describe('places of bars at first', () => {
  it('many bars fill the width at their usual size', () => {
    expect(placesFor(1120, 5_000)).toBe(200);
  });

  it('few bars grow to fill it, as far as they stay candles', () => {
    expect(placesFor(1120, 120)).toBe(120);
    expect(placesFor(1120, 5)).toBe(80);
  });

  it('a chart without a width yet still has room', () => {
    expect(placesFor(0, 5_000)).toBe(30);
  });
});
