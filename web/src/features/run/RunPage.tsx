import { Download, RefreshCw, TriangleAlert } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { api, reportPath } from '@/api/client';
import type { Backtest } from '@/api/types';
import { date, msOfNs, NONE, number, percent } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { toast } from '@/shared/toast';
import { useRun, useRunJob } from './queries';
import { RunOverview } from './RunOverview';
import { RunTables } from './RunTables';
import { type Caution, chance, type Numbers, paramsText, ratio, share, summaryOf } from './run';
import './run.css';

const TABS = [
  ['overview', 'Overview'],
  ['trades', 'Trades'],
  ['fills', 'Fills'],
  ['orders', 'Orders'],
  ['code', 'Code and data'],
] as const;
type Tab = (typeof TABS)[number][0];

/** One run: what it brought, what that is worth, and what it was made of. */
export function RunPage({ id, back }: { id: string; back: ReactNode }) {
  const { data: run, error, refetch } = useRun(id);
  const [tab, setTab] = useState<Tab>('overview');
  const zone = useSettings((settings) => settings.zone);
  if (!run) {
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
        <span className="chip">{run.engine} engine</span>
        <span className="space" />
        <Export id={run.id} />
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
          <Cautions cautions={summary.cautions} />
          <div className="tabs" role="tablist" aria-label="Parts of the run">
            {TABS.map(([name, words]) => (
              <button
                key={name}
                type="button"
                role="tab"
                id={`tab-${name}`}
                aria-selected={tab === name}
                aria-controls="run-part"
                onClick={() => setTab(name)}
              >
                {words}
                {name === 'trades' && <span className="tertiary"> {number(summary.numbers.trades)}</span>}
                {name === 'fills' && <span className="tertiary"> {number(summary.numbers.fills)}</span>}
                {name === 'orders' && <span className="tertiary"> {number(summary.numbers.orders)}</span>}
              </button>
            ))}
          </div>
          <div id="run-part" role="tabpanel" aria-labelledby={`tab-${tab}`} className="run-part">
            {tab === 'overview' ? (
              <RunOverview run={run} summary={summary} />
            ) : tab === 'code' ? (
              <Code run={run} />
            ) : (
              <RunTables id={run.id} table={tab} />
            )}
          </div>
        </>
      )}
    </>
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
export function Cautions({ cautions }: { cautions: Caution[] }) {
  if (cautions.length === 0) return null;
  return (
    <div className="cautions" role="note" aria-label="Reasons to doubt">
      <TriangleAlert size={16} className="state-stale" aria-hidden />
      <ul>
        {cautions.map(({ code, text }) => (
          <li key={code}>{text.charAt(0).toUpperCase() + text.slice(1)}.</li>
        ))}
      </ul>
    </div>
  );
}

function Export({ id }: { id: string }) {
  return (
    <>
      <a className="button quiet" href={reportPath(id)} target="_blank" rel="noreferrer">
        Report
      </a>
      <a className="button" href={`${reportPath(id)}?format=csv`} download>
        <Download size={14} aria-hidden />
        CSV
      </a>
    </>
  );
}

/** The same code, data and settings once more; it says whether the same came of it. */
function Again({ run }: { run: Backtest }) {
  const [job, setJob] = useState<string | null>(null);
  const { data } = useRunJob(job);
  const result = data?.state === 'done' ? (data.result as { same?: boolean } | null) : null;
  const busy = job !== null && (data === undefined || ['queued', 'running'].includes(data.state));
  return (
    <>
      {result && (
        <span className={`chip ${result.same === false ? 'gap' : 'repaired'}`} role="status">
          {result.same === false ? 'not the same' : 'the same to the bit'}
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
        <pre className="panel-body mono small scroll">{run.source}</pre>
      </Panel>
      <Panel title="Reproduce">
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
        <pre className="panel-body mono small scroll">{JSON.stringify(run.settings, null, 2)}</pre>
        {run.log && <pre className="panel-body mono small scroll">{run.log}</pre>}
      </Panel>
    </div>
  );
}
