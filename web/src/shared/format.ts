// Numbers, times and durations as people read them. Formatters of Intl are dear to build, so they are kept.

import { type Decimal, decimalText, parseDecimal } from './decimal';

const MINUS = '\u2212';
/** Keeps a number and its unit on one line. */
const SPACE = '\u00a0';
/** Shown where there is no value at all; zero is `0`. */
export const NONE = '\u2014';

const numberFormats = new Map<number, Intl.NumberFormat>();

function numberFormat(places: number): Intl.NumberFormat {
  let format = numberFormats.get(places);
  if (!format) {
    format = new Intl.NumberFormat('en-US', {
      minimumFractionDigits: places,
      maximumFractionDigits: places,
      signDisplay: 'negative', // a value that rounds to zero has no sign
    });
    numberFormats.set(places, format);
  }
  return format;
}

const realMinus = (text: string): string => text.replace('-', MINUS);

/** A count or a measured float with a fixed number of places. */
export function number(value: number | null | undefined, places = 0): string {
  return value == null || !Number.isFinite(value) ? NONE : realMinus(numberFormat(places).format(value));
}

/** Exact text with thousands separators and at least `places` decimals; digits beyond are kept, none is invented. */
export function decimal(value: string | number | Decimal, places: number): string {
  const exact = typeof value === 'object' ? value : parseDecimal(value);
  let { mantissa, scale } = exact;
  while (scale > places && mantissa % 10n === 0n) {
    mantissa /= 10n;
    scale -= 1;
  }
  if (scale < places) {
    mantissa *= 10n ** BigInt(places - scale);
    scale = places;
  }
  return mantissaText(mantissa, scale);
}

/** A mantissa with its scale, grouped: 642315 at scale 1 is `64,231.5`. */
export function mantissaText(mantissa: bigint, scale: number): string {
  const text = decimalText(mantissa, scale);
  const [whole = '0', fraction] = text.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return realMinus(fraction === undefined ? grouped : `${grouped}.${fraction}`);
}

/** A change carries its sign: `+14.5`, `−3.0`, `0.0`. */
export function signed(text: string): string {
  return text.startsWith(MINUS) || /^[0.,]+$/.test(text) ? text : `+${text}`;
}

/** A ratio as a percentage: 0.0081 is `+0.81 %`. */
export function percent(ratio: number | null, places = 2): string {
  if (ratio === null || !Number.isFinite(ratio)) return NONE;
  return `${signed(number(ratio * 100, places))}${SPACE}%`;
}

/** A large count, short: `412.6 M`. */
export function count(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  const steps: [number, string][] = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e5, 'k'],
  ];
  for (const [size, unit] of steps) {
    if (Math.abs(value) >= size) return `${number(value / (unit === 'k' ? 1e3 : size), 1)}${SPACE}${unit}`;
  }
  return number(value);
}

export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  let rest = value;
  while (Math.abs(rest) >= 1000 && i < units.length - 1) {
    rest /= 1000;
    i += 1;
  }
  return `${number(rest, i === 0 || rest >= 100 ? 0 : 1)}${SPACE}${units[i]}`;
}

/** A latency in the unit that gives two or three digits: `31 µs`, `4.2 ms`, `1.3 s`. */
export function latency(ns: number | null | undefined): string {
  if (ns == null || !Number.isFinite(ns)) return NONE;
  const [value, unit] =
    ns < 1e3 ? [ns, 'ns'] : ns < 1e6 ? [ns / 1e3, 'µs'] : ns < 1e9 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  return `${number(value, value < 10 && unit !== 'ns' ? 1 : 0)}${SPACE}${unit}`;
}

/** How long ago, in words short enough for a cell: `now`, `0.4 s`, `14 s`, `4 min`, `2 h`. */
export function age(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms)) return NONE;
  if (ms < 100) return 'now';
  if (ms < 1000) return `${(Math.floor(ms / 100) / 10).toFixed(1)}${SPACE}s`;
  if (ms < 120_000) return `${Math.floor(ms / 1000)}${SPACE}s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)}${SPACE}min`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)}${SPACE}h`;
  return `${Math.floor(ms / 86_400_000)}${SPACE}d`;
}

/** How long something lasted, in the same words: `0 s`, `14 s`, `4 min`. */
export const duration = (ms: number | null): string => (ms !== null && ms < 100 ? `0${SPACE}s` : age(ms));

/** Time left or gone as a clock: `4:58`, `1:02:03`. */
export function clock(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  const rest = `${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
  return total < 3600 ? rest : `${Math.floor(total / 3600)}:${rest}`;
}

/** An error's words begin small and end without a point; on screen they are a sentence. */
export function sentence(text: string | null | undefined): string {
  const words = text?.trim() ?? '';
  if (words === '') return '';
  const first = /^[a-z]+\b(?![._/-])/.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
  return /[.!?\u2026]$/.test(first) ? first : `${first}.`;
}

const zoneFormats = new Map<string, Intl.DateTimeFormat>();

/** A kept formatter; hours run 00 to 23. */
export function zoneFormat(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let format = zoneFormats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options });
    zoneFormats.set(key, format);
  }
  return format;
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit' };
const DATE: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', year: 'numeric' };

/** `14:03:07` */
export const timeOfDay = (ms: number, zone: string): string => zoneFormat(zone, CLOCK).format(ms);

/** `14:03:07.931`, for tapes and logs. */
export const timeOfDayMs = (ms: number, zone: string): string =>
  `${timeOfDay(ms, zone)}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, '0')}`;

/** `20 Nov 2026` */
export const date = (ms: number, zone: string): string => zoneFormat(zone, DATE).format(ms);

/** Milliseconds of a nanosecond text or number; the digits below are cut, not rounded. */
export const msOfNs = (ns: string | number | bigint): number => Number(BigInt(ns) / 1_000_000n);
