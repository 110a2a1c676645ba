// How a hole is spoken of, and who could fill it.

import type { Dataset, FetchAsk, Gap, Provider } from '@/api/types';

/** Streams of a venue whose holes are holes of a dataset. */
export const CHANNELS: Record<string, string[]> = {
  trades: ['trades'],
  bars: ['trades'],
  quotes: ['quotes'],
  levels: ['book'],
};

const WHY: Record<string, string> = {
  disconnect: 'the connection broke',
  stall: 'the venue fell silent',
  hole: 'the venue’s numbering jumped',
  checksum: 'the book did not match its checksum',
  overload: 'more came than could be kept',
  limit: 'the venue’s limit was reached',
  malformed: 'a message could not be read',
  overrun: 'the journal had let go of it',
  corrupt: 'the journal was damaged',
};

export const whyOf = (gap: Pick<Gap, 'cause'>): string => WHY[gap.cause] ?? gap.cause;

/** The order of a fetch that fills a hole: by the provider that bears the venue's name, where it has such rows. Null where nobody can. */
export function backfillOf(
  row: Pick<Dataset, 'instrument' | 'venue' | 'kind' | 'resolution'>,
  gap: Pick<Gap, 'ts_event_open' | 'opened_at' | 'ts_event_end' | 'ended_at'>,
  providers: readonly Provider[] | undefined,
  until_ms: number,
): FetchAsk | null {
  const provider = providers?.find(({ name }) => name === row.venue || `sim-${name}` === row.venue);
  if (!provider?.ready) return null;
  const kind = row.kind === 'trades' ? 'trades' : row.kind === 'bars' ? 'bars' : null;
  if (kind === null || !provider.kinds.includes(kind)) return null;
  const open = gap.ts_event_open !== '0' ? gap.ts_event_open : gap.opened_at;
  const from = new Date(Number(BigInt(open ?? '0') / 1_000_000n));
  const symbol = row.instrument.slice(0, row.instrument.lastIndexOf('.'));
  return {
    provider: row.venue,
    symbols: [symbol],
    kind,
    ...(kind === 'bars'
      ? { interval: provider.intervals.includes('1m') ? '1m' : (provider.intervals[0] ?? '1m') }
      : {}),
    start: from.toISOString(),
    end: new Date(until_ms).toISOString(),
  };
}
