import { useMemo } from 'react';
import { Bars } from '@/shared/figure/Bars';
import { Histogram } from '@/shared/figure/Histogram';
import { LineFigure } from '@/shared/figure/LineFigure';
import { number, percent } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { Kpi, type Part, Waits } from './part';
import { useRunTable } from './queries';
import { Falls, Months } from './RunOverview';
import { curveOf, fallsOf, monthsOf, ratio, share } from './run';
import { returnsOf, rollingOf, yearsOf } from './series';

const FALLS = 20;

function useDaily(id: string) {
  const days = useRunTable(id, 'days', { limit: 50_000 });
  return { ...days, curve: useMemo(() => (days.data ? curveOf(days.data) : null), [days.data]) };
}

/** What days, months and years brought. */
export function RunReturns({ run, summary }: Part) {
  const { curve, error, refetch } = useDaily(run.id);
  const zone = useSettings((settings) => settings.zone);
  const months = useMemo(() => (curve ? monthsOf(curve) : []), [curve]);
  const years = useMemo(() => (curve ? yearsOf(curve) : []), [curve]);
  const daily = useMemo(() => (curve ? returnsOf(curve.equity).map((one) => one * 100) : []), [curve]);
  if (!curve) return <Waits what="Returns" error={error} retry={() => void refetch()} />;
  return (
    <div className="run-two">
      <Panel title="Monthly returns" note="%">
        <Months months={months} />
      </Panel>
      <Panel title="Yearly returns" note="%">
        <Bars
          label="Return of each year"
          names={years.map(({ year }) => String(year))}
          values={years.map(({ growth }) => growth * 100)}
          unit=" %"
        />
      </Panel>
      <Panel title="Daily returns" note="% a day, how often each came">
        {daily.length > 0 ? (
          <Histogram label="How often days brought so much" values={daily} />
        ) : (
          <p className="panel-body secondary small">The run is shorter than a day.</p>
        )}
      </Panel>
      <Panel title="Each day" note="%">
        <LineFigure
          label="Return of each day"
          times={curve.times.slice(1)}
          zone={zone}
          include={[0]}
          unit=" %"
          lines={[{ name: 'day', values: daily, color: 'var(--accent-text)', base: 0 }]}
        />
      </Panel>
      <Panel title="Beside buy and hold" className="run-span">
        <Scroll label="Years beside buy and hold">
          <table>
            <thead>
              <tr>
                <th>Year</th>
                <th className="n">Strategy</th>
                <th className="n">{summary.benchmark}, bought and held</th>
                <th className="n">More than that</th>
              </tr>
            </thead>
            <tbody>
              {years.map(({ year, growth, benchmark }) => (
                <tr key={year}>
                  <td>{year}</td>
                  <td className={`n ${growth < 0 ? 'down' : 'up'}`}>{percent(growth)}</td>
                  <td className="n">{percent(benchmark)}</td>
                  <td className="n">{percent(benchmark === null ? null : growth - benchmark)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </Panel>
    </div>
  );
}

/** How deep it fell, and how its risk went over time. */
export function RunRisk({ run, summary }: Part) {
  const { curve, error, refetch } = useDaily(run.id);
  const zone = useSettings((settings) => settings.zone);
  const rolling = useMemo(() => (curve ? rollingOf(curve, summary.per_year) : null), [curve, summary]);
  const falls = useMemo(() => (curve ? fallsOf(curve, FALLS) : []), [curve]);
  if (!curve || !rolling) return <Waits what="Risk" error={error} retry={() => void refetch()} />;
  const { numbers } = summary;
  const line = (label: string, name: string, values: (number | null)[], unit = '') =>
    rolling.times.length > 1 ? (
      <LineFigure
        label={label}
        times={rolling.times}
        zone={zone}
        include={[0]}
        unit={unit}
        lines={[{ name, values, color: 'var(--accent-text)' }]}
      />
    ) : (
      <p className="panel-body secondary small">
        The run has too few days for a window of {number(rolling.days)}.
      </p>
    );
  return (
    <>
      <dl className="panel kpis">
        <Kpi name="Volatility, yearly" value={share(numbers.volatility)} note={summary.calendar} />
        <Kpi
          name="Sharpe"
          value={ratio(numbers.sharpe)}
          note={`deflated ${ratio(numbers.deflated_sharpe)}, ${number(numbers.trials ?? 1)} trials`}
        />
        <Kpi name="Sortino" value={ratio(numbers.sortino)} note="by its downside alone" />
        <Kpi
          name="Max drawdown"
          value={share(numbers.max_drawdown, 2)}
          note={`Calmar ${ratio(numbers.calmar)}`}
        />
        <Kpi name="Beta" value={ratio(numbers.beta)} note={`to ${summary.benchmark}`} />
        <Kpi
          name="Years needed"
          value={number(numbers.years_needed, 1)}
          note="until the Sharpe ratio is 95 % sure"
        />
      </dl>
      <div className="run-two">
        <Panel title="Underwater" note="% below the highest so far">
          <LineFigure
            label="Drawdown over time"
            times={curve.times}
            zone={zone}
            include={[0]}
            unit=" %"
            lines={[
              {
                name: 'drawdown',
                values: curve.drawdown.map((depth) => depth * 100),
                color: 'var(--down)',
                base: 0,
              },
            ]}
          />
        </Panel>
        <Panel title="Rolling Sharpe" note={`${number(rolling.days)} days`}>
          {line('Sharpe ratio of the last days', 'Sharpe', rolling.sharpe)}
        </Panel>
        <Panel title="Rolling volatility" note={`${number(rolling.days)} days, % a year`}>
          {line(
            'Volatility of the last days',
            'volatility',
            rolling.volatility.map((value) => (value === null ? null : value * 100)),
            ' %',
          )}
        </Panel>
        <Panel title="Rolling beta" note={`${number(rolling.days)} days, to ${summary.benchmark}`}>
          {line('Beta of the last days', 'beta', rolling.beta)}
        </Panel>
        <Panel title="Worst drawdowns" className="run-span">
          <Falls falls={falls} />
        </Panel>
      </div>
    </>
  );
}
