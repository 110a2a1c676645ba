import { Pause, Play, ShieldCheck, Square, TriangleAlert } from 'lucide-react';
import { type ReactNode, useMemo } from 'react';
import { apiPath } from '@/api/client';
import type { StudyProgress } from '@/api/types';
import { useRegister } from '@/shared/command';
import { BestSoFar } from '@/shared/figure/BestSoFar';
import { ParallelLines } from '@/shared/figure/ParallelLines';
import { clock, NONE, number, percent, sentence } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { copyText } from '@/shared/toast';
import { useSteer, useStudy, useTrials } from './queries';
import { type Promote, StudyMap } from './StudyMap';
import { Chances, CostStress, WalkForward } from './StudyParts';
import { StudyTrials } from './StudyTrials';
import { linesOf, type Result, resultOf, type Trial } from './study';
import './study.css';

const NONE_YET: Trial[] = [];
const BEST_LINES = 5;
const WORDS = { luck: 'Luck.', doubtful: 'Doubtful.', holds: 'It holds.' } as const;

/** One study: what was tried, what was best, and how much of that is luck. */
export function StudyPage(props: {
  id: string;
  back: ReactNode;
  /** A link to a new run with the parameters of a trial. */
  promote: Promote;
}) {
  const { id, back, promote } = props;
  const { data: study, error, refetch } = useStudy(id);
  const open = study !== undefined && ['queued', 'running'].includes(study.state);
  const trials = useTrials(id, open);
  useRegister(
    useMemo(
      () => [
        {
          id: 'study.curl',
          title: 'Copy the study as curl',
          group: 'Study',
          words: 'code snippet',
          run: () =>
            void copyText(
              `curl -H "Authorization: Bearer $(cat ~/.tidemill/token)" '${location.origin}${apiPath(`/studies/${encodeURIComponent(id)}`)}'\n`,
              'curl',
            ),
        },
      ],
      [id],
    ),
  );
  if (!study) {
    return error ? (
      <ErrorState what="The study" error={error} retry={() => void refetch()} />
    ) : (
      <SkeletonRows rows={6} />
    );
  }
  const result = resultOf(study);
  const rows = trials.data?.items ?? NONE_YET;
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
        <StudyMap trials={rows} result={result} loading={trials.isPending} promote={promote} />
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
        <StudyTrials
          trials={rows}
          loading={trials.isPending}
          best={result?.best.number ?? null}
          isolated={result?.stable_zone.isolated ?? false}
          promote={promote}
        />
        {result?.walk_forward && <WalkForward walk={result.walk_forward} />}
        {result && <CostStress result={result} />}
        {result && <Chances result={result} />}
      </div>
    </>
  );
}

function Later() {
  return <p className="panel-body secondary small">Known once the study is done.</p>;
}

const objectivesOf = ({ plan }: StudyProgress): string =>
  ((plan.objectives ?? ['sharpe']) as string[]).map((name) => name.replaceAll('_', ' ')).join(', ');

function Head({ study, back }: { study: StudyProgress; back: ReactNode }) {
  const steer = useSteer(study.id);
  const done = study.trials ?? 0;
  const open = ['queued', 'running'].includes(study.state);
  return (
    <div className="row page-head study-head">
      {back}
      <h1>{study.family}</h1>
      <span className="chip">maximise {objectivesOf(study)}</span>
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
