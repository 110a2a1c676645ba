import { TickMarkType } from 'lightweight-charts';
import { expect, it } from 'vitest';
import { crosshairText, tickText } from '@/features/chart/axis-time';

const AT = Date.UTC(2026, 10, 20, 13, 32, 5) / 1000;
const MIDNIGHT = Date.UTC(2026, 10, 20) / 1000;

it('the crosshair names date, time and, below a minute, the second', () => {
  expect(crosshairText(AT, '1m', 'UTC')).toBe('20 Nov 2026 13:32');
  expect(crosshairText(AT, '5s', 'UTC')).toBe('20 Nov 2026 13:32:05');
  expect(crosshairText(AT, '1m', 'Asia/Tokyo')).toBe('20 Nov 2026 22:32');
});

it('a daily bar is a day in UTC, in every zone', () => {
  expect(crosshairText(MIDNIGHT, '1d', 'America/New_York')).toBe('20 Nov 2026');
  expect(tickText(MIDNIGHT, TickMarkType.DayOfMonth, '1d', 'America/New_York', 6)).toBe('20 Nov');
});

it('marks are times in the zone, and the day where a day begins', () => {
  expect(tickText(AT, TickMarkType.Time, '1m', 'UTC', 6)).toBe('13:32');
  expect(tickText(AT, TickMarkType.TimeWithSeconds, '5s', 'UTC', 6)).toBe('13:32:05');
  expect(tickText(MIDNIGHT, TickMarkType.DayOfMonth, '1m', 'UTC', 6)).toBe('20 Nov');
  expect(tickText(MIDNIGHT, TickMarkType.DayOfMonth, '1m', 'Asia/Tokyo', 6)).toBe('09:00');
});

it('where days are narrow their marks name the day in every zone', () => {
  expect(tickText(MIDNIGHT, TickMarkType.DayOfMonth, '1h', 'Asia/Tokyo', 6)).toBe('20 Nov');
});
