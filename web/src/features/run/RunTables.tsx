import { useMemo, useState } from 'react';
import type { RunTable } from '@/api/client';
import { msOfNs, NONE, number, zoneFormat } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { useRunTable } from './queries';

const LIMIT = 1_000;
const TIMES = new Set(['ts', 'opened', 'closed']);
const SHARES = new Set(['return', 'worst', 'best']);
const NAMES: Record<string, string> = {
  ts: 'Time',
  worst: 'Worst',
  best: 'Best',
  net: 'Result',
};
const WHEN: Intl.DateTimeFormatOptions = {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
};

/** A table of a run as it is kept, its first thousand rows; a column's name sorts by it. */
export function RunTables(props: {
  id: string;
  table: Extract<RunTable, 'trades' | 'fills' | 'orders'>;
  chosen?: number | null;
  /** A row was chosen: its place in the table as it is kept, and its values by column. */
  choose?: (row: number, values: Record<string, unknown>) => void;
}) {
  const { id, table, chosen = null, choose } = props;
  const zone = useSettings((settings) => settings.zone);
  const { data, error, refetch } = useRunTable(id, table, { limit: LIMIT });
  const [sort, setSort] = useState<{ name: string; down: boolean } | null>(null);
  const title = table.charAt(0).toUpperCase() + table.slice(1);
  const names = Object.keys(data?.columns ?? {});
  const count = data?.columns[names[0] ?? '']?.length ?? 0;
  const rows = useMemo(() => {
    const found = Array.from({ length: count }, (_, row) => row);
    const column = sort ? data?.columns[sort.name] : undefined;
    if (!column || !sort) return found;
    const numeric = isNumber(column);
    const order = (a: unknown, b: unknown) =>
      numeric ? Number(a) - Number(b) : String(a).localeCompare(String(b));
    return found.sort((a, b) => {
      const [one, other] = [column[a], column[b]];
      if (one == null || other == null) return Number(one == null) - Number(other == null);
      return (sort.down ? -1 : 1) * order(one, other);
    });
  }, [count, data, sort]);
  return (
    <Panel
      title={title}
      note={data ? `${number(count)} of ${number(data.rows)}` : undefined}
      className="run-table"
    >
      {data ? (
        count === 0 ? (
          <p className="panel-body secondary small">There are none.</p>
        ) : (
          <Scroll label={title}>
            <table>
              <thead>
                <tr>
                  {names.map((name) => (
                    <th
                      key={name}
                      className={isNumber(data.columns[name]) ? 'n' : ''}
                      {...(sort?.name === name
                        ? { 'aria-sort': sort.down ? 'descending' : 'ascending' }
                        : {})}
                    >
                      <button
                        type="button"
                        className="sorts"
                        onClick={() => setSort({ name, down: sort?.name === name ? !sort.down : true })}
                      >
                        {NAMES[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ')}
                        <span aria-hidden>
                          {sort?.name === name ? (sort.down ? ' \u2193' : ' \u2191') : ''}
                        </span>
                      </button>
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => {
                  const values = () =>
                    Object.fromEntries(names.map((name) => [name, data.columns[name]?.[row]]));
                  return (
                    <tr
                      key={row}
                      className={`${chosen === row ? 'chosen' : ''} ${choose ? 'choosable' : ''}`}
                      onClick={() => choose?.(row, values())}
                    >
                      {names.map((name, at) => {
                        const text = shown(name, data.columns[name]?.[row], zone);
                        return (
                          <td key={name} className={isNumber(data.columns[name]) ? 'n' : ''}>
                            {choose && at === 0 ? (
                              <button
                                type="button"
                                className="cell"
                                aria-label={`Trade ${row + 1} on the chart`}
                                aria-pressed={chosen === row}
                              >
                                {text}
                              </button>
                            ) : (
                              text
                            )}
                          </td>
                        );
                      })}
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </Scroll>
        )
      ) : error ? (
        <ErrorState what={title} error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={6} />
      )}
    </Panel>
  );
}

const isNumber = (column: unknown[] | undefined): boolean => {
  const first = column?.find((value) => value !== null);
  return typeof first === 'number' || (typeof first === 'string' && /^-?\d+(\.\d+)?$/.test(first));
};

function shown(name: string, value: unknown, zone: string): string {
  if (value === null || value === undefined) return NONE;
  if (TIMES.has(name)) return zoneFormat(zone, WHEN).format(msOfNs(String(value)));
  if (SHARES.has(name)) return `${number(Number(value) * 100, 2)} %`;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') return number(value, Number.isInteger(value) ? 0 : 2);
  // Exact text, without the zeros that its scale pads it with.
  return String(value)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}
