import { Pause, Play, ShieldCheck, Square, TriangleAlert } from 'lucide-react';
import { type ReactNode, useMemo, useState } from 'react';
import type { StudyProgress, Trials } from '@/api/types';
import { BestSoFar } from '@/shared/figure/BestSoFar';
import { HeatGrid } from '@/shared/figure/HeatGrid';
import { ParallelLines } from '@/shared/figure/ParallelLines';
import { clock, msOfNs, NONE, number, percent, sentence } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSteer, useStudy, useTrials } from './queries';
import { type Fold, linesOf, type Result, resultOf } from './study';
import './study.css';

const TRIALS_SHOWN = 200;
const BEST_LINES = 5;
const WORDS = { luck: 'Luck.', doubtful: 'Doubtful.', holds: 'It holds.' } as const;

/** One study: what was tried, what was best, and how much of that is luck. */
export function StudyPage({ id, back }: { id: string; back: ReactNode }) {
  const { data: study, error, refetch } = useStudy(id);
  const open = study !== undefined && ['queued', 'running'].includes(study.state);
  const trials = useTrials(id, open);
  if (!study) {
    return error ? (
      <ErrorState what="The study" error={error} retry={() => void refetch()} />
    ) : (
      <SkeletonRows rows={6} />
    );
  }
  const result = resultOf(study);
  return (
    <>
      <Head study={study} back={back} />
      {study.state === 'failed' && study.error && (
        <Panel title="The study failed">
          <ErrorState what="The study" error={study.error} />
        </Panel>
      )}
      {result && <Kpis result={result} />}
      {result && <VerdictBand result={result} />}
      <div className="study-grid">
        <Heatmaps result={result} />
        <div className="study-side">
          <Panel title="Best so far" note="by trial" className="study-small">
            {trials.data ? (
              <BestSoFar
                label="The best score so far, by trial"
                scores={trials.data.items.map(({ values }) => values[0] ?? null)}
              />
            ) : (
              <SkeletonRows rows={3} />
            )}
          </Panel>
          <Panel title="Importance" note="share of what the parameters explain">
            {result ? <Importance importance={result.importance} /> : <Later />}
          </Panel>
          <Panel
            title="Parallel coordinates"
            note={`the best ${BEST_LINES} stand out`}
            className="study-small"
          >
            {result ? (
              <ParallelLines
                label="Every trial's parameters and score"
                names={result.parallel.axes}
                lines={linesOf(result.parallel)}
                best={BEST_LINES}
              />
            ) : (
              <Later />
            )}
          </Panel>
        </div>
        <TrialTable trials={trials.data} best={result?.best.number ?? null} />
        {result?.walk_forward && <WalkForward walk={result.walk_forward} />}
        {result && <CostStress result={result} />}
      </div>
    </>
  );
}

function Later() {
  return <p className="panel-body secondary small">Known once the study is done.</p>;
}

function Head({ study, back }: { study: StudyProgress; back: ReactNode }) {
  const steer = useSteer(study.id);
  const done = study.trials ?? 0;
  const open = ['queued', 'running'].includes(study.state);
  return (
    <div className="row page-head study-head">
      {back}
      <h1>{study.family}</h1>
      <span className="chip">maximise {String(study.plan.objective ?? 'sharpe').replace('_', ' ')}</span>
      <span className="chip">{String(study.plan.sampler ?? '')}</span>
      <span className="chip">{study.dataset}</span>
      {!open && <span className="chip">{study.state}</span>}
      <span className="space" />
      {open && (
        <>
          <span className="small secondary">
            {number(done)} of {number(study.trials_wanted)} trials
          </span>
          <progress value={done} max={study.trials_wanted} aria-label="Trials made" />
          {study.eta_s != null && <span className="small secondary">ETA {clock(study.eta_s)}</span>}
          <button
            type="button"
            className="button"
            disabled={steer.isPending}
            onClick={() => steer.mutate('pause')}
          >
            <Pause size={14} aria-hidden />
            Pause
          </button>
          <button
            type="button"
            className="button"
            disabled={steer.isPending}
            onClick={() => steer.mutate('cancel')}
          >
            <Square size={14} aria-hidden />
            Stop
          </button>
        </>
      )}
      {['paused', 'cancelled', 'failed'].includes(study.state) && (
        <button
          type="button"
          className="button primary"
          disabled={steer.isPending}
          onClick={() => steer.mutate('resume')}
        >
          <Play size={14} aria-hidden />
          Go on
        </button>
      )}
    </div>
  );
}

function Kpis({ result }: { result: Result }) {
  const { honesty, best, walk_forward: walk } = result;
  const low = (honesty.deflated_sharpe ?? 0) < 0.95;
  const cells: [string, string, string, string?][] = [
    [
      'Best Sharpe, in sample',
      number(best.stats.sharpe, 2),
      `trial ${number(best.number + 1)} of ${number(honesty.trials)}`,
    ],
    [
      'Deflated Sharpe',
      number(honesty.deflated_sharpe, 2),
      `after ${number(honesty.ledger_trials)} trials`,
      low ? 'state-stale' : '',
    ],
    ['Best of as many by luck', number(honesty.expected_best_sharpe, 2), 'the hurdle'],
    [
      'Chance of overfitting',
      honesty.overfitting === null ? NONE : percent(honesty.overfitting, 0).replace('+', ''),
      'PBO',
      (honesty.overfitting ?? 0) > 0.5 ? 'down' : '',
    ],
    [
      'Random entries as good',
      honesty.significance ? percent(honesty.significance.p, 0).replace('+', '') : NONE,
      'p-value',
    ],
    [
      'Walk-forward efficiency',
      walk ? number(walk.wfe, 2) : NONE,
      walk ? `${number(walk.folds.length)} folds` : 'not asked for',
    ],
    ['Failed trials', number(result.failed), `of ${number(honesty.trials)}`],
  ];
  return (
    <dl className="panel study-kpis">
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

function VerdictBand({ result }: { result: Result }) {
  const { grade, text, cautions } = result.verdict;
  const Icon = grade === 'holds' ? ShieldCheck : TriangleAlert;
  return (
    <div className={`verdict ${grade}`} role="note" aria-label="Verdict">
      <Icon size={16} aria-hidden />
      <div>
        <span className="strong">{WORDS[grade]}</span> {sentence(text.replace(/^[^:]*: /, ''))}
        {cautions.length > 0 && (
          <ul className="small">
            {cautions.map((caution) => (
              <li key={caution.code}>{caution.text.charAt(0).toUpperCase() + caution.text.slice(1)}.</li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

function Heatmaps({ result }: { result: Result | null }) {
  const [at, setAt] = useState(0);
  const map = result?.heatmaps[at] ?? result?.heatmaps[0];
  const place = useMemo(() => {
    if (!map || !result) return null;
    const column = map.xs.indexOf(result.best.params[map.x] as number);
    const row = map.ys.indexOf(result.best.params[map.y] as number);
    return column < 0 || row < 0 ? null : ([column, row] as [number, number]);
  }, [map, result]);
  const isolated = result?.stable_zone.isolated ?? false;
  return (
    <Panel
      title={map ? `By ${map.x} and ${map.y}` : 'By two parameters'}
      note={map ? 'mean of the objective; the best is outlined' : undefined}
      className="study-heat"
      actions={
        result && result.heatmaps.length > 1 ? (
          <label className="field">
            <span className="hidden">Parameters</span>
            <select value={at} onChange={({ target }) => setAt(Number(target.value))}>
              {result.heatmaps.map(({ x, y }, i) => (
                <option key={`${x} ${y}`} value={i}>
                  {x}, {y}
                </option>
              ))}
            </select>
          </label>
        ) : undefined
      }
    >
      {!result ? (
        <Later />
      ) : map ? (
        <HeatGrid
          label={`The objective by ${map.x} and ${map.y}`}
          columns={map.xs.map(String)}
          rows={map.ys.map(String)}
          columnName={map.x}
          rowName={map.y}
          values={map.values}
          alone={isolated ? place : null}
          zone={place && !isolated ? [place[0], place[0], place[1], place[1]] : null}
        />
      ) : (
        <p className="panel-body secondary small">One parameter was tried, or too many values for a map.</p>
      )}
    </Panel>
  );
}

function Importance({ importance }: { importance: Record<string, number | null> }) {
  const rows = Object.entries(importance).sort(([, a], [, b]) => (b ?? 0) - (a ?? 0));
  if (rows.length === 0) return <p className="panel-body secondary small">Nothing was varied.</p>;
  return (
    <dl className="panel-body importance">
      {rows.map(([name, value]) => (
        <div key={name} className="row">
          <dt className="small">{name}</dt>
          <span className="bar" aria-hidden>
            <i style={{ width: `${Math.max(0, Math.min(1, value ?? 0)) * 100}%` }} />
          </span>
          <dd className="small">{number(value, 2)}</dd>
        </div>
      ))}
    </dl>
  );
}

function TrialTable({ trials, best }: { trials: Trials | undefined; best: number | null }) {
  const rows = useMemo(
    () =>
      [...(trials?.items ?? [])]
        .sort((a, b) => (b.values[0] ?? Number.NEGATIVE_INFINITY) - (a.values[0] ?? Number.NEGATIVE_INFINITY))
        .slice(0, TRIALS_SHOWN),
    [trials],
  );
  const names = Object.keys(rows[0]?.params ?? {});
  const measures = ['sharpe', 'total_return', 'max_drawdown', 'trades'].filter(
    (name) => name in (rows[0]?.metrics ?? {}),
  );
  return (
    <Panel title="Trials" note="best first" className="study-trials">
      {rows.length === 0 ? (
        <p className="panel-body secondary small">{trials ? 'No trial is done yet.' : 'Loading.'}</p>
      ) : (
        <Scroll label="Trials">
          <table>
            <thead>
              <tr>
                <th>Trial</th>
                {names.map((name) => (
                  <th key={name} className="n">
                    {name}
                  </th>
                ))}
                {measures.map((name) => (
                  <th key={name} className="n">
                    {name.replaceAll('_', ' ')}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((trial) => (
                <tr key={trial.number} className={trial.number === best ? 'chosen' : ''}>
                  <td>{trial.number + 1}</td>
                  {names.map((name) => (
                    <td key={name} className="n">
                      {String(trial.params[name])}
                    </td>
                  ))}
                  {trial.state === 'failed' ? (
                    <td colSpan={measures.length} className="state-error cut" title={trial.error ?? ''}>
                      {trial.error}
                    </td>
                  ) : (
                    measures.map((name) => (
                      <td key={name} className="n">
                        {name === 'total_return' || name === 'max_drawdown'
                          ? percent(trial.metrics[name] ?? null)
                          : number(trial.metrics[name], name === 'trades' ? 0 : 2)}
                      </td>
                    ))
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

function WalkForward({ walk }: { walk: NonNullable<Result['walk_forward']> }) {
  const ms = (fold: Fold) =>
    [...fold.inside, ...fold.outside].map((ns) => msOfNs(ns)) as [number, number, number, number];
  const spans = walk.folds.map(ms);
  const low = Math.min(...spans.map(([from]) => from));
  const high = Math.max(...spans.map(([, , , to]) => to));
  const part = (from: number, to: number) => ({
    left: `${((from - low) / (high - low)) * 100}%`,
    width: `${(Math.max(0, to - from) / (high - low)) * 100}%`,
  });
  return (
    <Panel
      title="Walk-forward"
      note={`${number(walk.folds.length)} folds, Sharpe beside each`}
      actions={
        <span className="walk-legend small secondary">
          <i className="train" /> train <i className="test" /> test
        </span>
      }
    >
      <ol className="walk panel-body">
        {walk.folds.map((fold, i) => {
          const [from, past, out, end] = spans[i] ?? [0, 0, 0, 0];
          const sharpe = fold.outside_metrics?.sharpe ?? null;
          return (
            <li key={fold.fold}>
              <span className="train" style={part(from, past)}>
                {number(fold.inside_metrics?.sharpe, 2)}
              </span>
              <span className="test" style={part(out, end)} />
              <span className={`after small ${(sharpe ?? 0) < 0 ? 'down' : ''}`}>{number(sharpe, 2)}</span>
            </li>
          );
        })}
      </ol>
    </Panel>
  );
}

function CostStress({ result }: { result: Result }) {
  return (
    <Panel title="Costs" note={`break-even at ${number(result.costs.break_even_bps, 1)} bps`}>
      <table>
        <thead>
          <tr>
            <th>Costs</th>
            <th className="n">Return</th>
            <th className="n">Sharpe</th>
          </tr>
        </thead>
        <tbody>
          {result.costs.runs.map(({ times, total_return, sharpe }) => (
            <tr key={times}>
              <td>{times === '0' ? 'none' : times === '1' ? 'as set' : `${times} times`}</td>
              <td className={`n ${(total_return ?? 0) < 0 ? 'down' : ''}`}>{percent(total_return)}</td>
              <td className="n">{number(sharpe, 2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
