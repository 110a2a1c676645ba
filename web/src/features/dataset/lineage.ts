// Which jobs had to do with a dataset.

import type { Dataset, Job } from '@/api/types';

/** A job names the dataset, its instrument or symbol, its venue, or nothing at all because it means everything. */
export function touches(
  job: Pick<Job, 'kind' | 'detail'>,
  row: Pick<Dataset, 'id' | 'instrument' | 'venue'>,
): boolean {
  const detail = job.detail as Record<string, unknown>;
  if (job.kind === 'verify') {
    return [null, undefined, row.venue, row.instrument].includes(detail.what as string | null | undefined);
  }
  if (detail.dataset === row.id || detail.instrument === row.instrument) return true;
  const symbol = row.instrument.slice(0, row.instrument.lastIndexOf('.'));
  const symbols = Array.isArray(detail.symbols) ? detail.symbols.map(String) : [];
  if (detail.provider === row.venue)
    return symbols.some((one) => one.replace('/', '-').toUpperCase() === symbol.toUpperCase());
  if (detail.venue === row.venue && !('instrument' in detail)) return true;
  return typeof detail.sql === 'string' && detail.sql.includes(`'${row.instrument}'`);
}
