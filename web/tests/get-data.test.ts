import { describe, expect, it } from 'vitest';
import type { ImportPreview, Provider } from '@/api/types';
import { beginning, faults, orderOf, symbolsOf } from '@/features/fetch/fetch';
import { isReady, shownOf, sureness } from '@/features/import/import';

const provider = {
  name: 'polygon',
  kinds: ['bars', 'trades'],
  intervals: ['1s', '1m', '1d'],
  limits: { per_s: 5, burst: 5, workers: 20 },
  ready: true,
} as unknown as Provider;
const form = { ...beginning(provider, new Date('2026-11-29T12:00:00Z')), symbols: 'AAPL msft, AAPL\nTSLA' };

describe('a fetch', () => {
  it('begins with a month of minutes, up to yesterday', () => {
    expect(form).toMatchObject({ interval: '1m', start: '2026-10-30', end: '2026-11-28', workers: 8 });
    expect(beginning({ ...provider, intervals: ['1d'] }, new Date()).interval).toBe('1d');
  });

  it('takes symbols as people paste them, each once', () => {
    expect(symbolsOf(form.symbols)).toEqual(['AAPL', 'msft', 'TSLA']);
    expect(symbolsOf(' ,;\n')).toEqual([]);
  });

  it('orders its last day whole', () => {
    expect(faults(form, provider)).toEqual({});
    expect(orderOf(form)).toEqual({
      provider: 'polygon',
      symbols: ['AAPL', 'msft', 'TSLA'],
      kind: 'bars',
      interval: '1m',
      start: '2026-10-30T00:00:00Z',
      end: '2026-11-29T00:00:00.000Z',
      workers: 8,
    });
    expect(orderOf({ ...form, kind: 'trades', end: '' })).not.toHaveProperty('interval');
    expect(orderOf({ ...form, end: '' })).not.toHaveProperty('end');
  });

  it.each([
    [{ symbols: '' }, 'symbols'],
    [{ symbols: Array.from({ length: 1001 }, (_, i) => `S${i}`).join(' ') }, 'symbols'],
    [{ start: '' }, 'start'],
    [{ start: '2026-13-41' }, 'start'],
    [{ start: '2026-11-29', end: '2026-11-28' }, 'end'],
    [{ workers: 0 }, 'workers'],
    [{ workers: 21 }, 'workers'],
    [{ workers: Number.NaN }, 'workers'],
  ])('with %o says what does not fit', (change, field) => {
    expect(Object.keys(faults({ ...form, ...change }, provider))).toEqual([field]);
  });

  it('needs somebody who is asked', () => {
    expect(faults(form, undefined).provider).toBeDefined();
  });
});

describe('an import', () => {
  const preview = {
    draft: {
      kind: 'bars',
      instrument: 'X.import',
      interval: '',
      zone: 'UTC',
      at: 'start',
      fields: { time: 't' },
    },
    recipe: null,
    open: ['interval'],
  } as unknown as ImportPreview;

  it('shows the guess, and what was said over it', () => {
    expect(shownOf(preview, {})).toMatchObject({ kind: 'bars', interval: '', fields: { time: 't' } });
    expect(shownOf(preview, { interval: '5m', fields: { time: 'x' } })).toMatchObject({
      interval: '5m',
      instrument: 'X.import',
      fields: { time: 'x' },
    });
  });

  it('is ready once nothing is open', () => {
    expect(isReady(preview)).toBe(false);
    expect(isReady({ ...preview, recipe: {}, open: [] })).toBe(true);
  });

  it.each([
    [1, 'known layout'],
    [0.6, 'likely'],
    [0.2, 'unsure'],
  ])('a confidence of %d is %s', (confidence, word) => expect(sureness(confidence)).toBe(word));
});
