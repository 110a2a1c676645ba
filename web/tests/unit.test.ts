// @vitest-environment happy-dom
import { renderHook } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { sizeText, sumText, unitFor, unitHead, useUnit } from '@/shared/unit';

describe('a column of sizes', () => {
  it('is exact where it fits', () => {
    const unit = unitFor(999_999);
    expect(unit).toEqual({ name: '', factor: 1 });
    expect(sizeText('0.00179008', 8, unit)).toBe('0.00179008');
    expect(sumText(0.5402, 8, unit)).toBe('0.540');
    expect(unitHead('Size', unit)).toBe('Size');
  });

  it('names its unit once, in its head', () => {
    const unit = unitFor(2_728_478_513);
    expect(unitHead('Size', unit)).toBe('Size, M');
    expect(sizeText('1030119707.1', 1, unit)).toBe('1,030.120');
    expect(sizeText('895312.0', 1, unit)).toBe('0.895');
    expect(sumText(2_728_478_513, 1, unit)).toBe('2,728.479');
  });

  it('keeps the unit of the largest size of one instrument, and forgets it with the instrument', () => {
    const { result, rerender } = renderHook(({ name, most }) => useUnit(name, most).name, {
      initialProps: { name: 'a', most: 10 },
    });
    const seen = (name: string, most: number) => {
      rerender({ name, most });
      return result.current;
    };
    expect(result.current).toBe('');
    expect(seen('a', 2e6)).toBe('M');
    expect(seen('a', 10)).toBe('M');
    expect(seen('b', 10)).toBe('');
  });
});
