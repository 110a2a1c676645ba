// Words on the time axis. The library counts in UTC; zones exist only here.

import { TickMarkType } from 'lightweight-charts';
import { zoneFormat } from '@/shared/format';
import { type Interval, intervalSeconds } from '@/shared/interval';

/** A day narrower than this has no room for marks of its hours. */
const DAY_MARKS_PX = 220;
const DAY_S = 86_400;

/** Days are UTC days, whatever the zone. */
const zoneOf = (interval: Interval, zone: string): string => (interval === '1d' ? 'UTC' : zone);

/** Text of a mark at `at` seconds, where a bar is `bar_px` wide. */
export function tickText(
  at: number,
  kind: TickMarkType,
  interval: Interval,
  zone: string,
  bar_px: number,
): string {
  const daily = interval === '1d';
  const form = (options: Intl.DateTimeFormatOptions) =>
    zoneFormat(zoneOf(interval, zone), options).format(at * 1000);
  const midnight = form({ hour: '2-digit', minute: '2-digit' }) === '00:00';
  if (kind === TickMarkType.Year && daily) return form({ year: 'numeric' });
  if (kind === TickMarkType.Month && daily) return form({ month: 'short' });
  // The library puts its day marks at 00:00 UTC. Where they stand too close for hours between them, they name the day.
  const day_px = (bar_px * DAY_S) / intervalSeconds(interval);
  const dayMark = kind <= TickMarkType.DayOfMonth && day_px < DAY_MARKS_PX;
  if (daily || midnight || dayMark) return form({ day: 'numeric', month: 'short' });
  if (kind === TickMarkType.TimeWithSeconds)
    return form({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
  return form({ hour: '2-digit', minute: '2-digit' });
}

/** `20 Nov 2026 13:32`, for the label under the crosshair. */
export function crosshairText(at: number, interval: Interval, zone: string): string {
  const form = (options: Intl.DateTimeFormatOptions) =>
    zoneFormat(zoneOf(interval, zone), options).format(at * 1000);
  const day = form({ day: 'numeric', month: 'short', year: 'numeric' });
  const width = intervalSeconds(interval);
  if (width >= DAY_S) return day;
  const seconds = width < 60 ? ({ second: '2-digit' } as const) : {};
  return `${day} ${form({ hour: '2-digit', minute: '2-digit', ...seconds })}`;
}
