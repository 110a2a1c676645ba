import { CircleSlash, Copy, Download, RefreshCw, TriangleAlert } from 'lucide-react';
import { type KeyboardEvent, type ReactNode, useMemo, useState } from 'react';
import { ApiError, api, reportPath } from '@/api/client';
import type { Backtest } from '@/api/types';
import { type Command, useRegister } from '@/shared/command';
import { date, msOfNs, NONE, number, percent } from '@/shared/format';
import { Boundary, ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { copyText, toast } from '@/shared/toast';
import { useRun, useRunJob, useRunTable } from './queries';
import { RunCosts, RunRobustness } from './RunCosts';
import { RunOverview } from './RunOverview';
import { RunPositions } from './RunPositions';
import { RunReturns, RunRisk } from './RunReturns';
import { RunTables } from './RunTables';
import { RunTrades } from './RunTrades';
import { type Edit, JobLog, RunWaiting } from './RunWaiting';
import { type Caution, chance, type Numbers, paramsText, ratio, type Summary, share, summaryOf } from './run';
import { reasonsOf } from './series';
import { curlOf, pythonOf } from './snippet';
import './run.css';

export const TABS = [
  ['overview', 'Overview'],
  ['trades', 'Trades'],
  ['orders', 'Orders and fills'],
  ['positions', 'Positions'],
  ['returns', 'Returns'],
  ['risk', 'Risk'],
  ['costs', 'Costs'],
  ['robustness', 'Robustness'],
  ['logs', 'Logs'],
  ['code', 'Code and data'],
] as const;
export type Tab = (typeof TABS)[number][0];
export const isTab = (value: unknown): value is Tab => TABS.some(([name]) => name === value);

/** One run: what it brought, what that is worth, and what it was made of. */
export function RunPage(props: {
  id: string;
  back: ReactNode;
  tab: Tab;
  setTab(tab: Tab): void;
  /** The id is that of a job, whose run is not there yet. */
  waits: boolean;
  /** The job of this id has made the run of that id. */
  made(run: string): void;
  clone(content: ReactNode): ReactNode;
  edit: Edit;
}) {
  const { id, back, tab, setTab } = props;
  const { data: run, error, refetch } = useRun(id, !props.waits);
  const zone = useSettings((settings) => settings.zone);
  useRegister(useMemo(() => (run ? commandsOf(run, setTab) : []), [run, setTab]));
  if (!run) {
    if (props.waits || (error instanceof ApiError && error.status === 404))
      return (
        <RunWaiting
          id={id}
          back={back}
          done={props.made}
          otherwise={error ?? new Error('no such job is kept')}
          edit={props.edit}
        />
      );
    return error ? (
      <ErrorState what="The run" error={error} retry={() => void refetch()} />
    ) : (
      <SkeletonRows rows={6} />
    );
  }
  const summary = summaryOf(run);
  const day = (ns: string | number | null) => (ns === null ? NONE : date(msOfNs(String(ns)), zone));
  return (
    <>
      <div className="row page-head run-head">
        {back}
        <h1>{run.strategy}</h1>
        {Object.keys(run.params).length > 0 && <span className="chip">{paramsText(run.params)}</span>}
        <span className="chip">
          {run.instruments.join(', ')} {run.interval}
        </span>
        <span className="chip">
          {day(run.start)} to {day(run.end)}
        </span>
        <span className="chip">{costsText(run)}</span>
        <span className="chip">{run.engine} engine</span>
        <span className="space" />
        <Export id={run.id} />
        {props.clone(
          <>
            <Copy size={14} aria-hidden />
            Clone
          </>,
        )}
        <Again run={run} />
      </div>
      {run.state === 'failed' || !summary ? (
        <Panel title="The run failed">
          <ErrorState
            what="The run"
            error={{ ...run.error, message: String(run.error?.message ?? 'no reason was kept') }}
          />
          {run.log && <pre className="panel-body mono small scroll">{run.log}</pre>}
        </Panel>
      ) : (
        <>
          <Kpis numbers={summary.numbers} />
          <Cautions cautions={summary.cautions} more={() => setTab('robustness')} />
          {summary.numbers.trades === 0 && !summary.numbers.trades_open && (
            <NoTrades run={run} summary={summary} />
          )}
          <Tabs tab={tab} setTab={setTab} numbers={summary.numbers} />
          <div id="run-part" role="tabpanel" aria-labelledby={`tab-${tab}`} className="run-part">
            <Boundary key={tab} what="This part">
              <PartOf tab={tab} run={run} summary={summary} />
            </Boundary>
          </div>
        </>
      )}
    </>
  );
}

function PartOf({ tab, run, summary }: { tab: Tab; run: Backtest; summary: Summary }) {
  switch (tab) {
    case 'overview':
      return <RunOverview run={run} summary={summary} />;
    case 'trades':
      return <RunTrades run={run} />;
    case 'orders':
      return (
        <>
          <RunTables id={run.id} table="orders" />
          <RunTables id={run.id} table="fills" />
        </>
      );
    case 'positions':
      return <RunPositions run={run} summary={summary} />;
    case 'returns':
      return <RunReturns run={run} summary={summary} />;
    case 'risk':
      return <RunRisk run={run} summary={summary} />;
    case 'costs':
      return <RunCosts run={run} summary={summary} />;
    case 'robustness':
      return <RunRobustness run={run} summary={summary} />;
    case 'logs':
      return <Logs run={run} />;
    case 'code':
      return <Code run={run} />;
  }
}

/** Arrows, Home and End go from tab to tab; one of them is reached by Tab. */
function Tabs({ tab, setTab, numbers }: { tab: Tab; setTab(tab: Tab): void; numbers: Numbers }) {
  const counts: Partial<Record<Tab, number | null | undefined>> = {
    trades: numbers.trades,
    orders: numbers.fills,
  };
  const go = (event: KeyboardEvent<HTMLDivElement>) => {
    const at = TABS.findIndex(([name]) => name === tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[event.key];
    const next = to === undefined ? undefined : TABS[(to + TABS.length) % TABS.length];
    if (!next) return;
    event.preventDefault();
    setTab(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label="Parts of the run" onKeyDown={go}>
      {TABS.map(([name, words]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-selected={tab === name}
          aria-controls={tab === name ? 'run-part' : undefined}
          tabIndex={tab === name ? 0 : -1}
          onClick={() => setTab(name)}
        >
          {words}
          {counts[name] != null && <span className="tertiary"> {number(counts[name])}</span>}
        </button>
      ))}
    </div>
  );
}

function costsText({ settings }: Backtest): string {
  const costs = (settings.costs ?? {}) as Record<string, string | number>;
  const bps = Number(costs.taker ?? 0) * 10_000 + Number(costs.slippage_bps ?? 0);
  const spread = Number(costs.spread_bps ?? 0);
  if (bps === 0 && spread === 0) return 'no costs';
  return `costs ${number(bps, bps % 1 ? 1 : 0)} bps${spread > 0 ? ` and ${number(spread, spread % 1 ? 1 : 0)} bps of spread` : ''}`;
}

/** Why nothing was traded: no order was sent, or what became of those that were. */
function NoTrades({ run, summary }: { run: Backtest; summary: Summary }) {
  const { orders = 0, orders_refused: refused = 0 } = summary.numbers;
  const { data } = useRunTable(run.id, 'orders', { limit: 5_000 }, (orders ?? 0) > 0);
  const reasons = data ? reasonsOf(data) : [];
  return (
    <div className="cautions" role="note" aria-label="No trades">
      <CircleSlash size={16} className="state-stale" aria-hidden />
      <div>
        <span className="strong">No trade was made.</span>{' '}
        {orders
          ? `${number(orders)} ${orders === 1 ? 'order was' : 'orders were'} sent, ${number(refused)} refused${reasons.length > 0 ? `: ${reasons.map(([why, count]) => `${why} (${number(count)})`).join(', ')}` : ''}.`
          : `The strategy sent no order over ${number(run.rows)} bars: its conditions never held, or its windows are longer than the history.`}
      </div>
    </div>
  );
}

function Kpis({ numbers }: { numbers: Numbers }) {
  const deflated = numbers.deflated_sharpe;
  const gain = (value: number | null | undefined) => (value == null ? '' : value < 0 ? 'down' : 'up');
  const cells: [string, string, string, string?][] = [
    [
      'Total return',
      percent(numbers.total_return ?? null),
      `benchmark ${percent(numbers.benchmark_total_return ?? null)}`,
      gain(numbers.total_return),
    ],
    ['Sharpe', ratio(numbers.sharpe), `probabilistic ${chance(numbers.probabilistic_sharpe)}`],
    [
      'Deflated Sharpe',
      ratio(deflated),
      `${number(numbers.trials ?? 1)} ${numbers.trials === 1 ? 'trial' : 'trials'}`,
      deflated != null && deflated < 0.95 ? 'state-stale' : '',
    ],
    ['Sortino', ratio(numbers.sortino), `Calmar ${ratio(numbers.calmar)}`],
    ['Max drawdown', share(numbers.max_drawdown, 2), `volatility ${share(numbers.volatility)}`],
    ['Profit factor', ratio(numbers.profit_factor), `${number(numbers.trades)} trades`],
    ['Time in market', share(numbers.exposure, 0), `turnover ${number(numbers.turnover, 1)} a year`],
    ['Costs', number(numbers.costs), `fees ${number(numbers.fees)}`],
  ];
  return (
    <dl className="panel kpis">
      {cells.map(([name, value, note, tone]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className={`kpi ${tone ?? ''}`}>{value}</dd>
          <dd className="small secondary">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Reasons to doubt, where they cannot be overlooked. */
export function Cautions({ cautions, more }: { cautions: Caution[]; more?: () => void }) {
  if (cautions.length === 0) return null;
  return (
    <div className="cautions" role="note" aria-label="Reasons to doubt">
      <TriangleAlert size={16} className="state-stale" aria-hidden />
      <ul>
        {cautions.map(({ code, text }) => (
          <li key={code}>{text.charAt(0).toUpperCase() + text.slice(1)}.</li>
        ))}
      </ul>
      {more && (
        <>
          <span className="space" />
          <button type="button" className="link small" onClick={more}>
            Open robustness
          </button>
        </>
      )}
    </div>
  );
}

function Export({ id }: { id: string }) {
  return (
    <span className="export">
      <a className="button quiet" href={reportPath(id)} target="_blank" rel="noreferrer">
        <Download size={14} aria-hidden />
        Report
      </a>
      {(['json', 'csv', 'parquet'] as const).map((format) => (
        <a
          key={format}
          className="button quiet"
          href={`${reportPath(id)}?format=${format}`}
          download={format === 'json' ? `${id}.json` : true}
        >
          {format === 'parquet' ? 'Parquet' : format.toUpperCase()}
        </a>
      ))}
    </span>
  );
}

/** The same code, data and settings once more; it says whether the same came of it. */
function Again({ run }: { run: Backtest }) {
  const [job, setJob] = useState<string | null>(null);
  const { data } = useRunJob(job);
  const result =
    data?.state === 'done' ? (data.result as { same_data?: boolean; same_outcome?: boolean } | null) : null;
  const same = result?.same_data === true && result.same_outcome === true;
  const failed = data && ['failed', 'poisoned'].includes(data.state) ? data.error : null;
  const busy = job !== null && (data === undefined || ['queued', 'running'].includes(data.state));
  return (
    <>
      {result && (
        <span className={`chip ${same ? 'repaired' : 'gap'}`} role="status">
          {same ? 'the same to the bit' : result.same_data ? 'another outcome' : 'the data are others now'}
        </span>
      )}
      {failed && (
        <span className="chip gap" role="status" title={failed.message}>
          {failed.code.replaceAll('_', ' ')}
        </span>
      )}
      <button
        type="button"
        className="button primary"
        disabled={busy}
        onClick={() =>
          api
            .runAgain(run.id)
            .then(({ job_id }) => setJob(job_id))
            .catch((error: Error) => toast(`It was not run again: ${error.message}`, 'bad'))
        }
      >
        <RefreshCw size={14} aria-hidden />
        {busy ? 'Running' : 'Run again exactly'}
      </button>
    </>
  );
}

function Code({ run }: { run: Backtest }) {
  const facts: [string, string][] = [
    ['Fingerprint', run.fingerprint],
    ['Data', run.data_digest],
    ['Code', run.source_digest],
    ['Outcome', run.outcome_digest ?? NONE],
    ['Version', run.version],
    ['Bars', number(run.rows)],
    ['Took', `${number(run.duration_s, 2)} s`],
    ['Begun by', run.origin],
  ];
  return (
    <div className="run-code">
      <Panel title="Code" note="as it was run">
        <Scroll label="The code">
          <pre className="panel-body mono small">{run.source}</pre>
        </Scroll>
      </Panel>
      <Panel
        title="Reproduce"
        actions={
          <button type="button" className="button s" onClick={() => void copyText(pythonOf(run), 'Python')}>
            Copy as Python
          </button>
        }
      >
        <dl className="facts panel-body">
          {facts.map(([name, value]) => (
            <div key={name} style={{ display: 'contents' }}>
              <dt>{name}</dt>
              <dd className="mono cut" title={value}>
                {value}
              </dd>
            </div>
          ))}
        </dl>
        <Scroll label="Settings">
          <pre className="panel-body mono small">{JSON.stringify(run.settings, null, 2)}</pre>
        </Scroll>
      </Panel>
    </div>
  );
}

/** What the strategy printed, and what the job said. */
function Logs({ run }: { run: Backtest }) {
  const job = run.origin.startsWith('job:') ? run.origin.slice(4) : null;
  return (
    <>
      <Panel title="Printed by the strategy">
        {run.log ? (
          <Scroll label="Printed by the strategy">
            <pre className="panel-body mono small">{run.log}</pre>
          </Scroll>
        ) : (
          <p className="panel-body secondary small">It printed nothing.</p>
        )}
      </Panel>
      {summaryOf(run)?.notes.length ? (
        <Panel title="Notes">
          <ul className="run-notes small secondary">
            {summaryOf(run)?.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </Panel>
      ) : null}
      {job && <JobLog id={job} />}
    </>
  );
}

function commandsOf(run: Backtest, setTab: (tab: Tab) => void): Command[] {
  return [
    ...TABS.map(([name, words]) => ({
      id: `run.${name}`,
      title: `Backtest: ${words}`,
      group: 'Backtest',
      run: () => setTab(name),
    })),
    {
      id: 'run.python',
      title: 'Copy the backtest as Python',
      group: 'Backtest',
      words: 'code snippet',
      run: () => void copyText(pythonOf(run), 'Python'),
    },
    {
      id: 'run.curl',
      title: 'Copy the backtest as curl',
      group: 'Backtest',
      words: 'code snippet',
      run: () => void copyText(curlOf(location.origin, run), 'curl'),
    },
  ];
}
