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

/** A table of a run as it is kept, its first thousand rows. */
export function RunTables({ id, table }: { id: string; table: 'trades' | 'fills' | 'orders' }) {
  const zone = useSettings((settings) => settings.zone);
  const { data, error, refetch } = useRunTable(id, table, { limit: LIMIT });
  const title = table.charAt(0).toUpperCase() + table.slice(1);
  const names = Object.keys(data?.columns ?? {});
  const count = data?.columns[names[0] ?? '']?.length ?? 0;
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
                    <th key={name} className={isNumber(data.columns[name]) ? 'n' : ''}>
                      {NAMES[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ')}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {Array.from({ length: count }, (_, row) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: rows of a finished run never move
                  <tr key={row}>
                    {names.map((name) => (
                      <td key={name} className={isNumber(data.columns[name]) ? 'n' : ''}>
                        {shown(name, data.columns[name]?.[row], zone)}
                      </td>
                    ))}
                  </tr>
                ))}
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
