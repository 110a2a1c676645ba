// The same bars by program: text that runs as it is pasted.

import { apiPath } from '@/api/client';
import type { Interval } from '@/shared/interval';

export function pythonSnippet(instrument: string, interval: Interval): string {
  return [
    'import tidemill as tm',
    '',
    'td = tm.connect()',
    `bars = td.bars(${JSON.stringify(instrument)}, ${JSON.stringify(interval)})`,
    '',
  ].join('\n');
}

/** The token stays in its file: it never enters the clipboard. */
export function curlSnippet(origin: string, home: string, instrument: string, interval: Interval): string {
  const url = origin + apiPath(`/data/${encodeURIComponent(instrument)}/bars`, { interval, limit: 5000 });
  return `curl -H "Authorization: Bearer $(cat '${home}/token')" '${url}'\n`;
}
