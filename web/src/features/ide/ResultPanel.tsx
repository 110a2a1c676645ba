import { Play, TriangleAlert } from 'lucide-react';
import { type ReactNode, useEffect, useMemo } from 'react';
import type { Backtest } from '@/api/types';
import { LineFigure } from '@/shared/figure/LineFigure';
import { msOfNs, number, percent } from '@/shared/format';
import { ErrorState, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { lineOf } from './file';
import { type Failure, type Outcome, setOutcome } from './outcome';
import { useEquity, useResult, useWork } from './queries';
import { Refusal } from './Refusal';

/** What came of the last run: a line and five numbers, and the way to the rest. */
export function ResultPanel(props: {
  name: string;
  outcome: Outcome;
  report(id: string, content: ReactNode): ReactNode;
  go(line: number): void;
}) {
  const { name, outcome, report, go } = props;
  const { data: work } = useWork(outcome.job ?? null);
  useEffect(() => {
    if (!work || work.id !== outcome.job || ['queued', 'running'].includes(work.state)) return;
    const told = work.result as { id?: string; run?: string } | null;
    const run = told?.run ?? told?.id ?? null;
    setOutcome(name, {
      ...outcome,
      job: null,
      run: work.state === 'done' ? run : null,
      error:
        work.state === 'done' && run
          ? null
          : ((work.error as Failure | null) ?? { message: `the job ended as ${work.state}` }),
    });
  }, [work, outcome, name]);
  if (outcome.error) {
    const line = lineOf(outcome.error.message, name);
    return (
      <Refusal what="It did not run" error={outcome.error}>
        {line !== null && (
          <button type="button" className="button s" onClick={() => go(line)}>
            Go to line {line}
          </button>
        )}
      </Refusal>
    );
  }
  if (outcome.asking || outcome.job) {
    const done = work?.state === 'running' && work.progress > 0 ? work.progress : null;
    return (
      <div className="ide-waiting" role="status">
        <span className="small">
          {outcome.asking
            ? 'Asking …'
            : work?.state === 'running'
              ? done === null
                ? 'Running …'
                : `Running, ${percent(done, 0).replace('+', '')}`
              : 'Waiting for a worker …'}
        </span>
        <progress {...(done === null ? {} : { value: done, max: 1 })} aria-label="Progress of the backtest" />
      </div>
    );
  }
  if (!outcome.run) {
    return (
      <div className="empty">
        <Play size={18} className="tertiary" aria-hidden />
        <p>
          <kbd>Ctrl Enter</kbd> runs what is in the editor over the data on the right.
        </p>
      </div>
    );
  }
  return <Result id={outcome.run} report={report} />;
}

function Result({ id, report }: { id: string; report(id: string, content: ReactNode): ReactNode }) {
  const zone = useSettings((settings) => settings.zone);
  const run = useResult(id);
  const equity = useEquity(id);
  const curve = useMemo(
    () =>
      equity.data
        ? {
            times: (equity.data.columns.ts ?? []).map((ns) => msOfNs(String(ns))),
            values: (equity.data.columns.equity ?? []).map(Number),
          }
        : null,
    [equity.data],
  );
  const failed = run.error ?? equity.error;
  if (failed && !run.data) {
    return <ErrorState what="The result" error={failed} retry={() => void run.refetch()} />;
  }
  if (!run.data) return <SkeletonRows rows={3} />;
  if (run.data.state === 'failed') {
    const error = run.data.error as Failure | null;
    return <Refusal what="The run failed" error={error ?? { message: 'no reason was kept' }} />;
  }
  return (
    <div className="ide-result">
      <Numbers run={run.data} link={report(id, 'Full report')} />
      <div className="ide-equity">
        {curve && curve.times.length > 1 ? (
          <LineFigure
            label="Equity over time"
            times={curve.times}
            zone={zone}
            lines={[{ name: 'equity', values: curve.values, color: 'var(--accent-text)', tagged: true }]}
          />
        ) : curve ? (
          <p className="small secondary">It is over before there is a line to draw.</p>
        ) : (
          <SkeletonRows rows={3} />
        )}
      </div>
    </div>
  );
}

function Numbers({ run, link }: { run: Backtest; link: ReactNode }) {
  const told = (run.summary ?? {}) as {
    numbers?: Record<string, number | null>;
    cautions?: { code: string; text: string }[];
  };
  const numbers = told.numbers ?? {};
  const trials = numbers.trials ?? 1;
  const deflated = numbers.deflated_sharpe ?? null;
  const gain = numbers.total_return ?? 0;
  const cautions = told.cautions ?? [];
  const cells: [string, string, string, string][] = [
    [
      'Return',
      percent(numbers.total_return ?? null),
      `held ${percent(numbers.benchmark_total_return ?? null)}`,
      gain < 0 ? 'down' : gain > 0 ? 'up' : '',
    ],
    ['Sharpe', number(numbers.sharpe, 2), `${number(trials)} ${trials === 1 ? 'trial' : 'trials'}`, ''],
    [
      'Deflated Sharpe',
      number(deflated, 2),
      deflated === null ? 'not known' : deflated < 0.95 ? 'may be luck' : 'beyond luck',
      deflated !== null && deflated < 0.95 ? 'state-stale' : '',
    ],
    [
      'Max drawdown',
      percent(numbers.max_drawdown ?? null).replace('+', ''),
      `costs ${number(numbers.costs, 0)}`,
      '',
    ],
    ['Trades', number(numbers.trades), `${run.instruments.join(', ')} ${run.interval}`, ''],
  ];
  return (
    <div className="ide-numbers">
      <dl>
        {cells.map(([name, value, note, tone]) => (
          <div key={name}>
            <dt className="small tertiary">{name}</dt>
            <dd className={`ide-number ${tone}`}>{value}</dd>
            <dd className="micro secondary cut">{note}</dd>
          </div>
        ))}
      </dl>
      <div className="row">
        {link}
        {cautions.length > 0 && (
          <span className="small secondary row" title={cautions.map(({ text }) => text).join('\n')}>
            <TriangleAlert size={14} className="state-stale" aria-hidden />
            {cautions.length} {cautions.length === 1 ? 'reason' : 'reasons'} to doubt
          </span>
        )}
      </div>
    </div>
  );
}
