import { useMemo, useState } from 'react';
import type { Backtest } from '@/api/types';
import { Histogram } from '@/shared/figure/Histogram';
import { LineFigure } from '@/shared/figure/LineFigure';
import { date, NONE, number, percent } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { useRunTable } from './queries';
import {
  chance,
  curveOf,
  type Fall,
  fallsOf,
  type Month,
  monthsOf,
  type Numbers,
  ratio,
  type Summary,
  share,
} from './run';

const FALLS = 6;
const DAY_MS = 86_400_000;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** A month of so much has the full colour. */
const FULL_MONTH = 0.08;

export function RunOverview({ run, summary }: { run: Backtest; summary: Summary }) {
  const zone = useSettings((settings) => settings.zone);
  const [log, setLog] = useState(false);
  const days = useRunTable(run.id, 'days', { limit: 5000 });
  const steps = useRunTable(run.id, 'equity', { points: 2000 });
  const trades = useRunTable(run.id, 'trades', { limit: 5000 });
  const daily = useMemo(() => (days.data ? curveOf(days.data) : null), [days.data]);
  const fine = useMemo(() => (steps.data ? curveOf(steps.data) : null), [steps.data]);
  // A run of a few days is drawn by its steps, which have no benchmark beside them.
  const curve = daily && daily.times.length > 30 ? daily : fine;
  const months = useMemo(() => (daily ? monthsOf(daily) : []), [daily]);
  const falls = useMemo(() => (curve ? fallsOf(curve, FALLS) : []), [curve]);
  const nets = useMemo(() => (trades.data?.columns.net ?? []).map(Number), [trades.data]);
  const failed = days.error ?? steps.error;
  if (failed && !curve) {
    return (
      <ErrorState
        what="The run's equity"
        error={failed}
        retry={() => void Promise.all([days.refetch(), steps.refetch()])}
      />
    );
  }
  return (
    <div className="run-grid">
      <div className="run-main">
        <Panel
          title="Equity"
          note={<Legend benchmark={curve === daily ? summary.benchmark : null} />}
          actions={
            // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
            <div className="segments s" role="group" aria-label="Axis">
              <button type="button" aria-pressed={!log} onClick={() => setLog(false)}>
                Linear
              </button>
              <button type="button" aria-pressed={log} onClick={() => setLog(true)}>
                Log
              </button>
            </div>
          }
          className="run-equity"
        >
          {curve ? (
            <>
              <LineFigure
                label="Equity over time"
                times={curve.times}
                zone={zone}
                log={log}
                axis={false}
                lines={[
                  ...(curve.benchmark.length > 0
                    ? [
                        {
                          name: 'buy and hold',
                          values: curve.benchmark,
                          color: 'var(--chart-benchmark)',
                          dash: '5 4',
                        },
                      ]
                    : []),
                  { name: 'strategy', values: curve.equity, color: 'var(--accent-text)', tagged: true },
                ]}
              />
              <div className="run-fall-name small tertiary">Drawdown, %</div>
              <div className="run-fall">
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
              </div>
            </>
          ) : (
            <SkeletonRows rows={6} />
          )}
        </Panel>
        <div className="run-three">
          <Panel title="Monthly returns" note="%">
            {daily ? <Months months={months} /> : <SkeletonRows rows={3} />}
          </Panel>
          <Panel title="Trade results" note="a trade, after costs">
            {nets.length > 0 ? (
              <Histogram label="How much trades brought" values={nets} />
            ) : trades.data ? (
              <p className="panel-body secondary small">No trade was made.</p>
            ) : (
              <SkeletonRows rows={3} />
            )}
          </Panel>
          <Panel title="Worst drawdowns">
            <Falls falls={falls} />
          </Panel>
        </div>
      </div>
      <Panel title="Key statistics" className="run-stats">
        <Statistics numbers={summary.numbers} benchmark={summary.benchmark} />
        {summary.notes.length > 0 && (
          <ul className="run-notes small secondary">
            {summary.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        )}
      </Panel>
    </div>
  );
}

function Legend({ benchmark }: { benchmark: string | null }) {
  return (
    <span className="run-legend">
      <i style={{ background: 'var(--accent-text)' }} /> strategy
      {benchmark !== null && (
        <>
          <i className="dashed" /> {benchmark}, bought and held
        </>
      )}
    </span>
  );
}

/** How deep it fell and for how long, deepest first. */
export function Falls({ falls }: { falls: Fall[] }) {
  const zone = useSettings((settings) => settings.zone);
  // A day ends at midnight: the moment before it has its date.
  const day = (ms: number) => date(ms - 1, zone);
  const days = (fall: Fall) => (fall.end_ms === null ? NONE : number((fall.end_ms - fall.start_ms) / DAY_MS));
  return (
    <Scroll label="Worst drawdowns">
      <table>
        <thead>
          <tr>
            <th>Start</th>
            <th>Low</th>
            <th>Recovered</th>
            <th className="n">Depth</th>
            <th className="n">Days</th>
          </tr>
        </thead>
        <tbody>
          {falls.map((fall) => (
            <tr key={fall.start_ms}>
              <td>{day(fall.start_ms)}</td>
              <td>{day(fall.low_ms)}</td>
              <td>{fall.end_ms === null ? 'open' : day(fall.end_ms)}</td>
              <td className="n down">{percent(fall.depth)}</td>
              <td className="n">{days(fall)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

export function Months({ months }: { months: Month[] }) {
  if (months.length === 0)
    return <p className="panel-body secondary small">The run is shorter than a day.</p>;
  return (
    <div className="months scroll">
      {months.map(({ year, month, growth }) => (
        <div key={`${year} ${month}`} className="month">
          <i
            style={{
              background: growth < 0 ? 'var(--down)' : 'var(--up)',
              opacity: 0.12 + 0.48 * Math.min(1, Math.abs(growth) / FULL_MONTH),
            }}
          />
          <span className="small">
            {MONTHS[month]}
            {month === 0 || months[0]?.month === month ? ` ${year}` : ''}
          </span>
          <span className="medium">{number(growth * 100, 1)}</span>
        </div>
      ))}
    </div>
  );
}

function Statistics({ numbers, benchmark }: { numbers: Numbers; benchmark: string }) {
  const trials = numbers.trials ?? 1;
  const groups: [string, [string, string, string?][]][] = [
    [
      'Return',
      [
        ['Total return', percent(numbers.total_return ?? null)],
        ['CAGR', percent(numbers.cagr ?? null)],
        [`${benchmark}, bought and held`, percent(numbers.benchmark_total_return ?? null)],
      ],
    ],
    [
      'Risk',
      [
        ['Volatility, yearly', share(numbers.volatility)],
        ['Sharpe', ratio(numbers.sharpe)],
        ['Probabilistic Sharpe', chance(numbers.probabilistic_sharpe)],
        [
          `Deflated Sharpe, ${number(trials)} ${trials === 1 ? 'trial' : 'trials'}`,
          ratio(numbers.deflated_sharpe),
          (numbers.deflated_sharpe ?? 1) < 0.95 ? 'state-stale' : '',
        ],
        ['Best of as many by luck', ratio(numbers.expected_best_sharpe)],
        ['Sortino', ratio(numbers.sortino)],
        ['Max drawdown', percent(numbers.max_drawdown ?? null)],
        ['Beta', ratio(numbers.beta)],
      ],
    ],
    [
      'Trades',
      [
        ['Trades', number(numbers.trades)],
        ['Win rate', share(numbers.win_rate)],
        ['Profit factor', ratio(numbers.profit_factor)],
        ['Expectancy', number(numbers.expectancy, 2)],
        ['Time in market', share(numbers.exposure, 0)],
      ],
    ],
    [
      'Costs',
      [
        ['Fees', number(numbers.fees, 2)],
        ['Spread and slippage', number(numbers.slippage, 2)],
        ['Break-even', `${number(numbers.break_even_bps, 1)} bps`],
      ],
    ],
  ];
  return (
    <div className="scroll panel-body">
      {groups.map(([name, rows]) => (
        <section key={name} aria-label={name}>
          <h3>{name}</h3>
          <dl>
            {rows.map(([words, value, tone]) => (
              <div key={words} className="row">
                <dt>{words}</dt>
                <span className="space" />
                <dd className={tone}>{value}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </div>
  );
}
