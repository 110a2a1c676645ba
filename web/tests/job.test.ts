import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobState } from '@/api/types';
import {
  askedText,
  doneText,
  etaText,
  groups,
  kindWords,
  lastFailure,
  merged,
  momentText,
  newsOf,
  percentOf,
  rateText,
  resultText,
  tookText,
  withNews,
} from '@/features/job/job';
import { LINES_MOST, readOn } from '@/features/job/queries';
import { job } from './job-example';

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

describe('news', () => {
  it('move a job on, and a field that is not said stays', () => {
    const before = job({ note: 'first', done: 1 });
    expect(withNews(before, newsOf({ progress: 0.6, done: 2, strange: 1 }))).toEqual({
      ...before,
      progress: 0.6,
      done: 2,
    });
  });

  it('that change nothing leave the very same job, so that nothing is drawn anew', () => {
    const before = job({});
    expect(withNews(before, newsOf({ state: 'running', progress: 0.5 }))).toBe(before);
  });

  it('heard late never bring a job back that has ended', () => {
    for (const state of ['done', 'failed', 'cancelled', 'poisoned'] as JobState[]) {
      const ended = job({ state, ended: '3' });
      expect(withNews(ended, newsOf({ state: 'running', progress: 0.9 }))).toBe(ended);
    }
  });

  it('of a death put it back among those that wait', () => {
    expect(withNews(job({}), newsOf({ state: 'queued', attempts: 1 })).state).toBe('queued');
  });
});

describe('the order', () => {
  const list = [
    job({ id: 'old', state: 'done', ended: '10' }),
    job({ id: 'waits', state: 'queued', started: null, created: '1' }),
    job({ id: 'first', state: 'queued', started: null, created: '5', priority: 2 }),
    job({ id: 'failed', state: 'failed', ended: '20' }),
    job({ id: 'dead', state: 'poisoned', ended: '15' }),
    job({ id: 'just', state: 'done', ended: null }),
    job({ id: 'runs' }),
  ];
  const ids = (filter: Parameters<typeof groups>[1]) =>
    groups(list, filter).map(({ title, jobs }) => [title, ...jobs.map(({ id }) => id)]);

  it('is what runs, what waits as it will start, what ended last', () => {
    expect(ids('all')).toEqual([
      ['Running', 'runs'],
      ['Waiting', 'first', 'waits'],
      ['Ended', 'just', 'failed', 'dead', 'old'],
    ]);
  });

  it('is the same however the answer is ordered', () => {
    const whole = JSON.stringify(groups(list, 'all'));
    fc.assert(
      fc.property(fc.shuffledSubarray(list, { minLength: list.length }), (any) => {
        expect(JSON.stringify(groups(any, 'all'))).toBe(whole);
      }),
    );
  });

  it('filters', () => {
    expect(ids('running')).toEqual([
      ['Running', 'runs'],
      ['Waiting', 'first', 'waits'],
    ]);
    expect(ids('ended')).toEqual([['Ended', 'just', 'failed', 'dead', 'old']]);
    expect(ids('failed')).toEqual([['Ended', 'failed', 'dead']]);
  });

  it('a job that two answers hold is there once, as the later one says', () => {
    const all = merged([job({ progress: 0.1 })], [job({ progress: 0.2 })]);
    expect(all.map(({ progress }) => progress)).toEqual([0.2]);
  });

  it('the latest failure is known by when it ended', () => {
    expect(lastFailure(list)).toBe(20n);
    expect(lastFailure([job({})])).toBe(0n);
  });
});

describe('words', () => {
  it('of a kind', () => {
    expect(kindWords('history')).toBe('Generated history');
    expect(kindWords('roll_up.bars')).toBe('Roll up bars');
  });

  it('an import is what its rows are, not how its file is read', () => {
    const recipe = { version: 1, kind: 'bars', instrument: 'ACME.import', interval: '1m', columns: ['t'] };
    expect(askedText({ upload: 'eee49204', recipe, strict: 0 })).toBe(
      'ACME.import \u00b7 bars \u00b7 1m \u00b7 strict 0',
    );
  });

  it('of what was asked, in one line without what was left out', () => {
    expect(
      askedText({
        kind: 'trades',
        instrument: 'BTC-USD.kraken',
        start: '2026-10-01T00:00:00Z',
        end: '2026-11-01',
        interval: null,
        dry_run: true,
        days: 30,
      }),
    ).toBe('trades · BTC-USD.kraken · 2026-10-01 to 2026-11-01 · dry run · days 30');
    expect(askedText({ venues: ['a', 'b', 'c', 'd', 'e'] })).toBe('a, b, c, d and 1 more');
    expect(askedText({})).toBe('');
  });

  it('of figures: only those that were said', () => {
    const counted = job({ done: 11_900_000, total: 16_300_000, unit: 'rows', rate: 1_200_000, eta_s: 41 });
    expect([doneText, rateText, etaText].map((text) => plain(text(counted)))).toEqual([
      '11.9 M of 16.3 M rows',
      '1.2 M rows/s',
      'ETA 0:41',
    ]);
    expect([doneText, rateText, etaText].map((text) => text(job({})))).toEqual(['', '', '']);
    expect(plain(rateText(job({ rate: 0.4, unit: 'venues' })))).toBe('0.4 venues/s');
    expect(plain(etaText(job({ eta_s: 3_723 })))).toBe('ETA 1:02:03');
  });

  it('a job that goes on is never at 100 per cent, and one that does not know is at none', () => {
    expect(percentOf(job({ progress: 0.999 }))).toBe(99);
    expect(percentOf(job({ progress: 1 }))).toBe(99);
    expect(percentOf(job({ state: 'done', progress: 0.999 }))).toBe(100);
    expect(percentOf(job({ progress: 0, done: 5_000, total: null }))).toBeNull();
    expect(percentOf(job({ progress: 0, done: 0, total: 3 }))).toBe(0);
  });

  it('of times', () => {
    expect(plain(tookText('1000000000', '2900000000'))).toBe('1.9 s');
    expect(tookText('0', '298000000000')).toBe('4:58');
    expect(tookText(null, '1')).toBe('');
    const noon_ms = Date.UTC(2026, 10, 20, 12);
    const ns = (ms: number) => `${ms}000000`;
    expect(momentText(ns(noon_ms), noon_ms, 'UTC')).toBe('12:00:00');
    expect(momentText(ns(noon_ms), noon_ms + 86_400_000, 'UTC')).toBe('20 Nov 2026 12:00');
  });

  it('of a result', () => {
    expect(plain(resultText({ file: 'exports/a.csv', rows: 1_234_567, bytes: 9_876_543 }))).toBe(
      'file exports/a.csv\nrows 1,234,567\n9.9 MB',
    );
    expect(resultText({ clean: true, venues: [{ venue: 'a' }, { venue: 'b' }] })).toBe(
      'clean true\nvenues 2',
    );
    expect(resultText(null)).toBe('');
  });
});

describe('a log', () => {
  const lines = Array.from({ length: 2_300 }, (_, i) => ({ ts: '0', level: 'info', text: `line ${i + 1}` }));
  const read = (upTo: number) => async (after: number, limit: number) => {
    const items = lines.slice(after, Math.min(upTo, after + limit));
    return { items, next: after + items.length };
  };

  it('is read to its end, keeps its newest lines and counts the others', async () => {
    const log = await readOn(undefined, read(2_300));
    expect(log.lines).toHaveLength(LINES_MOST);
    expect(log.lines.at(-1)?.text).toBe('line 2300');
    expect(log).toMatchObject({ dropped: 2_300 - LINES_MOST, after: 2_300 });
  });

  it('goes on where it was, and repeats nothing', async () => {
    const before = await readOn(undefined, read(3));
    const log = await readOn(before, read(5));
    expect(log.lines.map(({ text }) => text)).toEqual(['line 1', 'line 2', 'line 3', 'line 4', 'line 5']);
    expect(log.dropped).toBe(0);
    expect(await readOn(log, read(5))).toEqual(log);
  });
});
