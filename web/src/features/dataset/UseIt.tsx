import { Copy, Download } from 'lucide-react';
import { useState } from 'react';
import { ApiError, api, queryFile } from '@/api/client';
import type { Dataset } from '@/api/types';
import { bytes, msOfNs, number } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { useConfig } from '@/shared/queries';
import { copyText, toast } from '@/shared/toast';
import { useSize } from './queries';
import { curlSnippet, pythonSnippet, sqlOf, sqlSnippet } from './snippet';

const FORMS = ['csv', 'parquet', 'arrow'] as const;
type Form = (typeof FORMS)[number];
const NAMES: Record<Form, string> = { csv: 'CSV', parquet: 'Parquet', arrow: 'Arrow' };
/** More rows than one answer has: a job writes them to a file of the platform. */
const ROWS_MOST = 1_000_000;

/** Ready text for this dataset, and its rows as a file. */
export function UseIt({ row }: { row: Dataset }) {
  const home = useConfig().data?.home ?? '~/.local/share/tidemill';
  const texts = [
    ['Python', pythonSnippet(row)],
    ['SQL', sqlSnippet(row)],
    ['curl', curlSnippet(location.origin, home, row)],
  ] as const;
  return (
    <div className="dataset-two">
      <div className="dataset-stack">
        {texts.map(([name, text]) => (
          <Panel
            key={name}
            title={name}
            actions={
              <button type="button" className="button s" onClick={() => void copyText(text, name)}>
                <Copy size={12} aria-hidden />
                Copy
              </button>
            }
          >
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable without a pointer */}
            <pre className="mono dataset-code scroll" tabIndex={0}>
              {text.trimEnd()}
            </pre>
          </Panel>
        ))}
      </div>
      <Files row={row} />
    </div>
  );
}

function Files({ row }: { row: Dataset }) {
  const last = row.end === null ? Date.now() : msOfNs(row.end);
  const first = row.start === null ? last : msOfNs(row.start);
  const iso = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const [day, setDay] = useState(iso(last));
  const [whole, setWhole] = useState(false);
  const [busy, setBusy] = useState<Form | null>(null);
  const sql = sqlOf(row, whole ? undefined : day);
  const size = useSize(sql, true);
  const rows = size.data?.rows ?? 0;
  const large = rows > ROWS_MOST;
  const fail = (error: Error) =>
    toast(`Nothing came: ${error instanceof ApiError ? error.body.message : error.message}`, 'bad');

  const take = async (form: Form) => {
    setBusy(form);
    try {
      if (large) {
        await api.queryAsJob({ sql, format: form });
        toast('A job writes the file; its place stands with the job');
        return;
      }
      const file = await queryFile({ sql, format: form, limit: ROWS_MOST, time: 'iso' });
      const anchor = document.createElement('a');
      anchor.href = URL.createObjectURL(file);
      anchor.download = `${row.instrument}-${row.kind}${whole ? '' : `-${day}`}.${form}`;
      anchor.click();
      URL.revokeObjectURL(anchor.href);
    } catch (error) {
      fail(error as Error);
    } finally {
      setBusy(null);
    }
  };
  return (
    <Panel title="Download">
      <div className="panel-body form">
        {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
        <div className="segments" role="group" aria-label="How much" style={{ justifySelf: 'start' }}>
          <button type="button" aria-pressed={!whole} onClick={() => setWhole(false)}>
            One day
          </button>
          <button type="button" aria-pressed={whole} onClick={() => setWhole(true)}>
            All of it
          </button>
        </div>
        {!whole && (
          <label className="field">
            <span>Day, UTC</span>
            <input
              type="date"
              value={day}
              min={iso(first)}
              max={iso(last)}
              onChange={({ target }) => target.value && setDay(target.value)}
            />
          </label>
        )}
        <div className="small" role="status">
          {size.error ? (
            <span className="state-error">{size.error.message}</span>
          ) : size.data ? (
            <>
              <b>{number(rows)}</b> rows, about <b>{bytes(size.data.bytes)}</b> in memory; Parquet is smaller,
              CSV larger.
              {large &&
                ' That is more than one answer holds: a job writes it to a file where the platform runs.'}
            </>
          ) : (
            <span className="tertiary">Counting rows</span>
          )}
        </div>
        <div className="row">
          {FORMS.map((form) => (
            <button
              key={form}
              type="button"
              className="button"
              disabled={busy !== null || !size.data || rows === 0}
              onClick={() => void take(form)}
            >
              <Download size={13} aria-hidden />
              {busy === form ? 'Fetching' : NAMES[form]}
            </button>
          ))}
        </div>
        <p className="small tertiary">
          Rows of the lake. Times are UTC; prices and sizes are exact, digit for digit what the venue printed.
        </p>
      </div>
    </Panel>
  );
}
