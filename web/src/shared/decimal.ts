// Exact decimal arithmetic: value = mantissa x 10^-scale. Prices and sizes are never added as floats.

export interface Decimal {
  /** Integer digits, signed. */
  readonly mantissa: bigint;
  /** Decimal places of the mantissa, 0 or more. */
  readonly scale: number;
}

const POWERS: bigint[] = [1n];

/** 10^exponent as a bigint; exponent is 0 or more. */
export function power10(exponent: number): bigint {
  for (let i = POWERS.length; i <= exponent; i++) POWERS.push((POWERS[i - 1] ?? 1n) * 10n);
  return POWERS[exponent] ?? 1n;
}

/** Not a JSON number (`syntax`), or digits that do not fit 64 bits at a scale of 0 to 18 (`range`). */
export class DecimalError extends RangeError {
  readonly kind: 'syntax' | 'range';

  constructor(kind: 'syntax' | 'range', text: string) {
    super(kind === 'syntax' ? `not a decimal number: '${text}'` : `does not fit 18 digits: '${text}'`);
    this.kind = kind;
  }
}

/** The grammar of a JSON number (RFC 8259). */
const SHAPE = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
const MOST = 2n ** 63n - 1n;
const MAX_SCALE = 18;

/**
 * Reads decimal text, or a number by its shortest text. Digits and scale stay as printed; where they do not fit, trailing zeros
 * go first. Throws a DecimalError on anything else.
 */
export function parseDecimal(value: string | number): Decimal {
  const text = String(value);
  const match = SHAPE.exec(text);
  if (!match) throw new DecimalError('syntax', text);
  const [, sign, whole = '', fraction = '', exponentText = '0'] = match;
  const exponent = Number(exponentText);
  let mantissa = BigInt(whole + fraction);
  let scale = fraction.length - exponent;
  if (mantissa === 0n) {
    if (sign) throw new DecimalError('syntax', text);
    return { mantissa, scale: Math.min(MAX_SCALE, Math.max(0, scale)) };
  }
  // Beyond this no trailing zeros can help, and the power of ten would be built for nothing.
  if (Math.abs(exponent) > 100) throw new DecimalError('range', text);
  if (scale < 0) {
    mantissa *= power10(-scale);
    scale = 0;
  }
  while (scale > 0 && (mantissa > MOST || scale > MAX_SCALE) && mantissa % 10n === 0n) {
    mantissa /= 10n;
    scale -= 1;
  }
  if (mantissa > MOST || scale > MAX_SCALE) throw new DecimalError('range', text);
  return { mantissa: sign ? -mantissa : mantissa, scale };
}

/** The mantissa at a scale that is at least as fine as the value's own. */
export function mantissaAt(value: Decimal, scale: number): bigint {
  if (scale < value.scale) throw new RangeError(`scale ${scale} would drop digits of scale ${value.scale}`);
  return value.mantissa * power10(scale - value.scale);
}

export function addDecimal(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { mantissa: mantissaAt(a, scale) + mantissaAt(b, scale), scale };
}

export function subtractDecimal(a: Decimal, b: Decimal): Decimal {
  return addDecimal(a, { mantissa: -b.mantissa, scale: b.scale });
}

/** Negative, zero or positive as a is less than, equal to or greater than b. */
export function compareDecimal(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const x = mantissaAt(a, scale);
  const y = mantissaAt(b, scale);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Same value without trailing zeros: 1.10 and 1.1 become one. */
export function normaliseDecimal(value: Decimal): Decimal {
  let { mantissa, scale } = value;
  while (scale > 0 && mantissa % 10n === 0n) {
    mantissa /= 10n;
    scale -= 1;
  }
  return { mantissa, scale };
}

/** Plain decimal text with exactly `scale` digits after the point. */
export function decimalText(mantissa: bigint, scale: number): string {
  const negative = mantissa < 0n;
  const digits = String(negative ? -mantissa : mantissa).padStart(scale + 1, '0');
  const point = digits.length - scale;
  const text = scale === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
  return negative ? `-${text}` : text;
}

/** The nearest double: for drawing and ratios only, never to be added up or stored. */
export function toNumber(mantissa: bigint, scale: number): number {
  return Number(decimalText(mantissa, scale));
}

/**
 * Mantissa of a JSON number that is known to be a decimal of at most `scale` places. Exact below 2^52: the product is then
 * within half a unit of the true mantissa. Larger values go the way of text.
 */
export function mantissaOfNumber(value: number, scale: number): bigint {
  const product = value * 10 ** scale;
  if (Math.abs(product) < 2 ** 52) {
    const rounded = Math.round(product);
    if (Math.abs(product - rounded) < 1e-3) return BigInt(rounded);
  }
  const exact = parseDecimal(value);
  if (exact.scale <= scale) return mantissaAt(exact, scale);
  throw new RangeError(`${value} has more than ${scale} decimal places`);
}
