import { useMemo } from 'react';
import { LineFigure } from '@/shared/figure/LineFigure';
import { msOfNs, NONE, number, zoneFormat } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { Kpi, type Part } from './part';
import { useRunTable } from './queries';
import { ratio, share } from './run';
import { heldOf } from './series';

const ROWS = 1_000;
const WHEN: Intl.DateTimeFormatOptions = {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
};

/** What was held, and how much of the equity that was. */
export function RunPositions({ run, summary }: Part) {
  const zone = useSettings((settings) => settings.zone);
  const steps = useRunTable(run.id, 'equity', { points: 2000 });
  const fills = useRunTable(run.id, 'fills', { limit: ROWS });
  const held = useMemo(() => (fills.data ? heldOf(fills.data) : []), [fills.data]);
  const exposure = useMemo(() => {
    const { ts = [], equity = [], gross = [], net = [] } = steps.data?.columns ?? {};
    const part = (values: unknown[]) =>
      values.map((value, i) => (Number(equity[i]) > 0 ? (Number(value) / Number(equity[i])) * 100 : null));
    return { times: ts.map((ns) => msOfNs(String(ns))), gross: part(gross), net: part(net) };
  }, [steps.data]);
  const when = zoneFormat(zone, WHEN);
  const { numbers } = summary;
  return (
    <>
      <dl className="panel kpis">
        <Kpi name="Time in market" value={share(numbers.exposure, 0)} note="of all steps" />
        <Kpi name="Mean exposure" value={share(numbers.gross_exposure_mean)} note="without signs" />
        <Kpi name="Mean net exposure" value={share(numbers.net_exposure_mean)} note="with signs" />
        <Kpi name="Most leverage" value={ratio(numbers.leverage_max)} note="positions by equity" />
        <Kpi name="Mean hold" value={spanText(numbers.holding_mean_s)} note="of closed trades" />
        <Kpi name="Open at the end" value={number(numbers.trades_open)} note="trades" />
      </dl>
      <Panel title="Exposure" note="% of equity" className="run-wide">
        {steps.data ? (
          <LineFigure
            label="Exposure over time"
            times={exposure.times}
            zone={zone}
            include={[0]}
            unit=" %"
            lines={[
              { name: 'gross', values: exposure.gross, color: 'var(--text-secondary)', dash: '5 4' },
              { name: 'net', values: exposure.net, color: 'var(--accent-text)', base: 0 },
            ]}
          />
        ) : steps.error ? (
          <ErrorState what="Exposure" error={steps.error} retry={() => void steps.refetch()} />
        ) : (
          <SkeletonRows rows={3} />
        )}
      </Panel>
      <Panel
        title="Position after each fill"
        note={fills.data ? `${number(held.length)} of ${number(fills.data.rows)}` : undefined}
        className="run-table"
      >
        {fills.data ? (
          held.length === 0 ? (
            <p className="panel-body secondary small">Nothing was ever held.</p>
          ) : (
            <Scroll label="Position after each fill">
              <table>
                <thead>
                  <tr>
                    <th>Time</th>
                    <th>Instrument</th>
                    <th>Side</th>
                    <th className="n">Size</th>
                    <th className="n">Price</th>
                    <th className="n">Position</th>
                    <th className="n">Mean entry</th>
                  </tr>
                </thead>
                <tbody>
                  {held.map((one, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: fills of a finished run never move
                    <tr key={i}>
                      <td>{when.format(one.ms)}</td>
                      <td>{one.instrument}</td>
                      <td>{one.side}</td>
                      <td className="n">{plain(one.size)}</td>
                      <td className="n">{plain(one.price)}</td>
                      <td className={`n ${one.position < 0 ? 'down' : ''}`}>
                        {one.position === 0 ? 'flat' : plain(one.position)}
                      </td>
                      <td className="n">{one.entry === null ? NONE : number(one.entry, 2)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        ) : fills.error ? (
          <ErrorState what="Fills" error={fills.error} retry={() => void fills.refetch()} />
        ) : (
          <SkeletonRows rows={6} />
        )}
      </Panel>
    </>
  );
}

/** Digits as they are needed, eight after the point at most. */
const plain = (value: number): string =>
  number(value, 8)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');

function spanText(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  if (seconds >= 86_400) return `${number(seconds / 86_400, 1)} d`;
  if (seconds >= 3_600) return `${number(seconds / 3_600, 1)} h`;
  return `${number(seconds / 60, 1)} min`;
}
