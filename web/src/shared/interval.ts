// Bar intervals. Bars are aligned to the UTC epoch.

export const INTERVALS = ['1s', '5s', '1m', '5m', '15m', '1h', '4h', '1d'] as const;
export type Interval = (typeof INTERVALS)[number];

const SECONDS: Record<Interval, number> = {
  '1s': 1,
  '5s': 5,
  '1m': 60,
  '5m': 300,
  '15m': 900,
  '1h': 3600,
  '4h': 14_400,
  '1d': 86_400,
};

export const intervalSeconds = (interval: Interval): number => SECONDS[interval];

export const isInterval = (text: unknown): text is Interval => INTERVALS.includes(text as Interval);

/** Start, in whole seconds since the epoch, of the bar that holds `ts_ns`. */
export function barStart(ts_ns: bigint, interval: Interval): number {
  const width_ns = BigInt(SECONDS[interval]) * 1_000_000_000n;
  const floor = ts_ns >= 0n ? ts_ns / width_ns : (ts_ns - width_ns + 1n) / width_ns;
  return Number(floor * BigInt(SECONDS[interval]));
}

/** What somebody who types `5`, `60`, `4h` or `1D` means; minutes without a unit, as on other charts. */
export function readInterval(text: string): Interval | null {
  const match = /^(\d+)\s*(s|m|h|d)?$/.exec(text.trim().toLowerCase());
  if (!match) return null;
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[match[2] ?? 'm'] ?? 60;
  const seconds = Number(match[1]) * unit;
  return INTERVALS.find((interval) => SECONDS[interval] === seconds) ?? null;
}
