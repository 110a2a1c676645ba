import { useMemo } from 'react';
import { Fan } from '@/shared/figure/Fan';
import { LineFigure } from '@/shared/figure/LineFigure';
import { msOfNs, number, percent } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { Kpi, type Part, Waits } from './part';
import { useRobustness, useRunTable } from './queries';
import { ratio, share } from './run';
import { feesOf } from './series';

const WAYS = {
  days: 'Days in blocks, drawn again',
  order: 'Trades in another order',
  missed: 'One trade in ten missed',
} as const;

/** What trading cost, and what it could have cost. */
export function RunCosts({ run, summary }: Part) {
  const zone = useSettings((settings) => settings.zone);
  const fills = useRunTable(run.id, 'fills', { limit: 50_000 });
  const fees = useMemo(() => (fills.data ? feesOf(fills.data) : null), [fills.data]);
  const { numbers } = summary;
  const gross = (numbers.trades_net ?? 0) + (numbers.costs ?? 0);
  const settings = Object.entries((run.settings.costs ?? {}) as Record<string, unknown>);
  return (
    <>
      <dl className="panel kpis">
        <Kpi
          name="Costs"
          value={number(numbers.costs, 2)}
          note={gross > 0 ? `${share((numbers.costs ?? 0) / gross)} of what trades brought` : 'in all'}
        />
        <Kpi name="Fees" value={number(numbers.fees, 2)} note="to the venue" />
        <Kpi name="Spread and slippage" value={number(numbers.slippage, 2)} note="worse prices" />
        <Kpi name="Traded" value={number(numbers.traded)} note={`${number(numbers.fills)} fills`} />
        <Kpi name="Turnover" value={number(numbers.turnover, 1)} note="times the equity a year" />
        <Kpi
          name="Break-even"
          value={`${number(numbers.break_even_bps, 1)} bps`}
          note="of what is traded"
          tone={(numbers.break_even_bps ?? 0) < 0 ? 'down' : ''}
        />
      </dl>
      <div className="run-two">
        <Panel title="The same with other costs">
          {run.stress && run.stress.length > 0 ? (
            <Scroll label="The same with other costs">
              <table>
                <thead>
                  <tr>
                    <th>Costs</th>
                    <th className="n">Return</th>
                    <th className="n">Sharpe</th>
                    <th className="n">Drawdown</th>
                  </tr>
                </thead>
                <tbody>
                  {(run.stress as Record<string, number | null>[]).map((line) => (
                    <tr key={line.factor} className={line.factor === 1 ? 'chosen' : ''}>
                      <td>
                        {line.factor === 0
                          ? 'none'
                          : line.factor === 1
                            ? 'as set'
                            : `${number(line.factor, (line.factor ?? 0) % 1 ? 1 : 0)} times`}
                      </td>
                      <td className={`n ${(line.total_return ?? 0) < 0 ? 'down' : 'up'}`}>
                        {percent(line.total_return ?? null)}
                      </td>
                      <td className="n">{ratio(line.sharpe)}</td>
                      <td className="n">{share(line.max_drawdown)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          ) : (
            <p className="panel-body secondary small">
              Not tried: it is done for strategies by signal on the fast engine, where trading costs
              something.
            </p>
          )}
        </Panel>
        <Panel title="As set">
          <dl className="facts panel-body">
            {settings.map(([name, value]) => (
              <div key={name} style={{ display: 'contents' }}>
                <dt>{name.replaceAll('_', ' ')}</dt>
                <dd className="mono">{String(value)}</dd>
              </div>
            ))}
          </dl>
        </Panel>
        <Panel title="Fees so far" className="run-span">
          {fees ? (
            fees.times.length > 1 ? (
              <LineFigure
                label="Fees paid so far"
                times={fees.times}
                zone={zone}
                include={[0]}
                lines={[{ name: 'fees', values: fees.paid, color: 'var(--accent-text)', base: 0 }]}
              />
            ) : (
              <p className="panel-body secondary small">There was hardly anything to pay for.</p>
            )
          ) : fills.error ? (
            <ErrorState what="Fills" error={fills.error} retry={() => void fills.refetch()} />
          ) : (
            <SkeletonRows rows={3} />
          )}
        </Panel>
      </div>
    </>
  );
}

/** How much of it is luck, and where it could have ended otherwise. */
export function RunRobustness({ run, summary }: Part) {
  const { data, error, refetch } = useRobustness(run.id);
  const zone = useSettings((settings) => settings.zone);
  const { numbers } = summary;
  const deflated = numbers.deflated_sharpe;
  return (
    <>
      <dl className="panel kpis">
        <Kpi name="Sharpe" value={ratio(numbers.sharpe)} note="of this run" />
        <Kpi
          name="Deflated Sharpe"
          value={ratio(deflated)}
          note={`after ${number(numbers.trials ?? 1)} trials`}
          tone={deflated != null && deflated < 0.95 ? 'state-stale' : ''}
        />
        <Kpi name="Best of as many by luck" value={ratio(numbers.expected_best_sharpe)} note="the hurdle" />
        <Kpi name="Probabilistic Sharpe" value={share(numbers.probabilistic_sharpe, 0)} note="above 0" />
        <Kpi name="Largest trade" value={share(numbers.largest_share ?? null, 0)} note="of the profit" />
      </dl>
      <div className="run-two">
        <Panel
          title="Other paths"
          note="its days in blocks, drawn again; nine of ten end in the band"
          className="run-span"
        >
          {data ? (
            data.ts.length > 1 ? (
              <Fan
                label="Where a thousand other paths went"
                times={data.ts.map((ns) => msOfNs(ns))}
                low={data.low}
                middle={data.middle}
                high={data.high}
                own={data.own}
                zone={zone}
              />
            ) : (
              <p className="panel-body secondary small">The run has too few days for other paths.</p>
            )
          ) : (
            <Waits what="Other paths" error={error} retry={() => void refetch()} />
          )}
        </Panel>
        <Panel title="By chance" note="a thousand paths of each kind" className="run-span">
          {data && (
            <Scroll label="By chance">
              <table>
                <thead>
                  <tr>
                    <th>Paths</th>
                    <th className="n">Return, 5 %</th>
                    <th className="n">median</th>
                    <th className="n">95 %</th>
                    <th className="n">Drawdown, 5 %</th>
                    <th className="n">median</th>
                    <th className="n">End in loss</th>
                    <th className="n">Fall over 20 %</th>
                  </tr>
                </thead>
                <tbody>
                  {data.ways.map((one) => (
                    <tr key={one.way}>
                      <td>{WAYS[one.way]}</td>
                      {one.total_return.map((value, i) => (
                        // biome-ignore lint/suspicious/noArrayIndexKey: three quantiles in order
                        <td key={i} className={`n ${value < 0 ? 'down' : 'up'}`}>
                          {percent(value, 1)}
                        </td>
                      ))}
                      {one.max_drawdown.slice(0, 2).map((value, i) => (
                        // biome-ignore lint/suspicious/noArrayIndexKey: two quantiles in order
                        <td key={i} className="n">
                          {percent(value, 1)}
                        </td>
                      ))}
                      <td className="n">{share(one.loss, 0)}</td>
                      <td className="n">{share(one.fall, 0)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
        </Panel>
      </div>
    </>
  );
}
