import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addDecimal,
  compareDecimal,
  decimalText,
  mantissaAt,
  mantissaOfNumber,
  normaliseDecimal,
  parseDecimal,
  subtractDecimal,
} from '@/shared/decimal';
import {
  age,
  bytes,
  clock,
  count,
  decimal,
  latency,
  mantissaText,
  number,
  percent,
  signed,
  timeOfDay,
  timeOfDayMs,
} from '@/shared/format';

const decimals = fc.record({
  mantissa: fc.bigInt(-(10n ** 17n), 10n ** 17n),
  scale: fc.integer({ min: 0, max: 12 }),
});

describe('exact decimals', () => {
  it('text and value are one', () => {
    fc.assert(
      fc.property(decimals, ({ mantissa, scale }) => {
        if (mantissa === 0n) return;
        expect(parseDecimal(decimalText(mantissa, scale))).toEqual({ mantissa, scale });
      }),
    );
  });

  it('sums are those of integers at a common scale', () => {
    fc.assert(
      fc.property(decimals, decimals, (a, b) => {
        const wide = (value: typeof a) => value.mantissa * 10n ** BigInt(12 - value.scale);
        expect(mantissaAt(addDecimal(a, b), 12)).toBe(wide(a) + wide(b));
        expect(mantissaAt(subtractDecimal(a, b), 12)).toBe(wide(a) - wide(b));
        expect(Math.sign(compareDecimal(a, b))).toBe(wide(a) < wide(b) ? -1 : wide(a) > wide(b) ? 1 : 0);
      }),
    );
  });

  it('adds what floats cannot', () => {
    const sum = addDecimal(parseDecimal('0.1'), parseDecimal('0.2'));
    expect(decimalText(sum.mantissa, sum.scale)).toBe('0.3');
  });

  it('refuses to drop digits', () => {
    expect(() => mantissaAt(parseDecimal('1.25'), 1)).toThrow(RangeError);
  });

  it('1.10 and 1.1 are one value', () => {
    expect(normaliseDecimal(parseDecimal('1.10'))).toEqual(parseDecimal('1.1'));
  });

  it('a JSON number of a chart column gives its exact digits back', () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 14n), 10n ** 14n), fc.integer({ min: 0, max: 8 }), (mantissa, scale) => {
        expect(mantissaOfNumber(Number(decimalText(mantissa, scale)), scale)).toBe(mantissa);
      }),
    );
  });
});

describe('formats', () => {
  it.each([
    ['64231', 1, '64,231.0'],
    ['64231.50', 1, '64,231.5'],
    ['64231.55', 1, '64,231.55'],
    ['-1111.11', 2, '\u22121,111.11'],
    ['0.053121', 6, '0.053121'],
    ['1234567890123456.7', 1, '1,234,567,890,123,456.7'],
  ])('%s at %i places is %s', (text, places, shown) => {
    expect(decimal(text, places)).toBe(shown);
  });

  it('a mantissa is grouped without a float', () => {
    expect(mantissaText(123456789012345678901234567890n, 8)).toBe('1,234,567,890,123,456,789,012.34567890');
  });

  it('changes carry a sign and zero none', () => {
    expect(signed(decimal('14.5', 1))).toBe('+14.5');
    expect(signed(decimal('-3', 1))).toBe('\u22123.0');
    expect(signed(decimal('0', 1))).toBe('0.0');
    expect(percent(0.0081)).toMatch(/^\+0\.81.%$/);
    expect(percent(null)).toBe('\u2014');
  });

  it('minus zero has no sign', () => {
    expect(number(-0.001, 2)).toBe('0.00');
    expect(percent(-0.000001)).toMatch(/^0\.00.%$/);
  });

  it('units are those people read', () => {
    expect(latency(31_000)).toMatch(/^31.µs$/);
    expect(latency(4_200_000)).toMatch(/^4\.2.ms$/);
    expect(latency(null)).toBe('\u2014');
    expect(age(14_200)).toMatch(/^14.s$/);
    expect(age(40)).toBe('now');
    expect(age(400)).toMatch(/^0\.4.s$/);
    expect(count(412_600_000)).toMatch(/^412\.6.M$/);
    expect(bytes(9_100_000_000)).toMatch(/^9\.1.GB$/);
    expect(clock(298)).toBe('04:58');
    expect(clock(3723)).toBe('1:02:03');
  });

  it('times are shown in a zone and never rounded up', () => {
    expect(timeOfDay(1763640187999, 'UTC')).toBe('12:03:07');
    expect(timeOfDayMs(1763640187931, 'UTC')).toBe('12:03:07.931');
    expect(timeOfDay(1763640187999, 'America/New_York')).toBe('07:03:07');
  });
});
