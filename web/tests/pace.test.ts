import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Pace } from '@/shared/pace';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('runs at once after a rest, then paced, and never unasked', () => {
  let runs = 0;
  const pace = new Pace(() => {
    runs += 1;
  }, 50);
  pace.ask();
  expect(runs).toBe(1);
  for (let i = 0; i < 100; i++) {
    pace.ask();
    vi.advanceTimersByTime(1);
  }
  expect(runs).toBe(3);
  vi.advanceTimersByTime(1_000);
  expect(runs).toBe(3);
  pace.ask();
  expect(runs).toBe(4);
});

it('forgets what was asked for when it is stopped', () => {
  let runs = 0;
  const pace = new Pace(() => {
    runs += 1;
  }, 50);
  pace.ask();
  pace.ask();
  pace.stop();
  vi.advanceTimersByTime(1_000);
  expect(runs).toBe(1);
});
