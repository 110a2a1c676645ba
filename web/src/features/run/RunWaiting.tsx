import { useQuery } from '@tanstack/react-query';
import { Square } from 'lucide-react';
import { type ReactNode, useEffect, useMemo } from 'react';
import { api } from '@/api/client';
import type { Job } from '@/api/types';
import { clock, number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { toast } from '@/shared/toast';
import { useRunJob } from './queries';
import { paramsText } from './run';

/** A backtest that is not there yet: the job that makes it, from its place in the queue to its end. */
export function RunWaiting(props: {
  id: string;
  back: ReactNode;
  done(run: string): void;
  otherwise: Error;
}) {
  const { id, back, done, otherwise } = props;
  const { data: job, error } = useRunJob(id);
  const made = job?.state === 'done' ? (job.result as { run?: string } | null)?.run : undefined;
  useEffect(() => {
    if (made) done(made);
  }, [made, done]);
  if (job?.kind !== 'backtest') {
    return error || job ? <ErrorState what="The run" error={otherwise} /> : <SkeletonRows rows={6} />;
  }
  const { strategy, instruments, interval, params } = job.detail as Partial<{
    strategy: string;
    instruments: string[];
    interval: string;
    params: Record<string, unknown>;
  }>;
  return (
    <>
      <div className="row page-head run-head">
        {back}
        <h1>{strategy ?? 'Backtest'}</h1>
        {params && Object.keys(params).length > 0 && <span className="chip">{paramsText(params)}</span>}
        {instruments && (
          <span className="chip">
            {instruments.join(', ')} {interval}
          </span>
        )}
        <span className="space" />
        {(job.state === 'queued' || job.state === 'running') && (
          <button
            type="button"
            className="button"
            disabled={job.cancel_asked}
            onClick={() =>
              void api
                .cancelJob(id)
                .catch((failed: Error) => toast(`It was not cancelled: ${failed.message}`, 'bad'))
            }
          >
            <Square size={14} aria-hidden />
            {job.cancel_asked ? 'Stopping' : 'Cancel'}
          </button>
        )}
      </div>
      {job.state === 'queued' ? (
        <Queued job={job} />
      ) : job.state === 'running' || job.state === 'done' ? (
        <Running job={job} />
      ) : job.state === 'cancelled' ? (
        <Panel title="Cancelled">
          <p className="panel-body">It was cancelled before it was done. Nothing of it is kept.</p>
        </Panel>
      ) : (
        <Failed job={job} strategy={strategy} />
      )}
    </>
  );
}

function Queued({ job }: { job: Job }) {
  const { data } = useQuery({
    queryKey: ['jobs', 'queued', job.id],
    queryFn: ({ signal }) => api.jobs({ state: 'queued', limit: 500 }, signal),
    refetchInterval: 1_000,
  });
  // Those of a higher priority first, then in the order in which they came.
  const before = data?.items.filter(
    (other) =>
      other.id !== job.id &&
      (other.priority > job.priority ||
        (other.priority === job.priority && BigInt(other.created) < BigInt(job.created))),
  ).length;
  return (
    <Panel title="Waits in the queue">
      <p className="panel-body" role="status">
        {before === undefined
          ? 'It waits for a worker.'
          : before === 0
            ? 'It is the next one.'
            : `It is number ${number(before + 1)}: ${number(before)} ${before === 1 ? 'job is' : 'jobs are'} before it.`}
      </p>
    </Panel>
  );
}

function Running({ job }: { job: Job }) {
  return (
    <Panel title="Runs" note={job.note ?? undefined}>
      <div className="panel-body run-progress" role="status">
        <progress value={job.progress} max={1} aria-label="How far it is" />
        <span className="small secondary">
          {job.total ? `${number(job.done)} of ${number(job.total)} ${job.unit ?? ''}` : (job.note ?? '')}
          {job.eta_s != null && `, ${clock(job.eta_s)} to go`}
        </span>
      </div>
    </Panel>
  );
}

const LINE = /\bline (\d+)/;

function Failed({ job, strategy }: { job: Job; strategy: string | undefined }) {
  const message = String(job.error?.message ?? 'no reason was kept');
  const at = Number(LINE.exec(message)?.[1] ?? 0) || null;
  return (
    <>
      <Panel title="The run failed">
        <ErrorState what="The run" error={{ ...job.error, message }} />
      </Panel>
      {strategy && at !== null && <AtLine strategy={strategy} line={at} />}
      <JobLog id={job.id} />
    </>
  );
}

const AROUND = 6;

/** The lines of the strategy around the one that failed. */
function AtLine({ strategy, line }: { strategy: string; line: number }) {
  const { data } = useQuery({
    queryKey: ['strategy', strategy],
    queryFn: ({ signal }) => api.strategy(strategy, signal),
  });
  const source = data?.code;
  const lines = useMemo(() => (source ?? '').split('\n'), [source]);
  if (!source || line > lines.length) return null;
  const first = Math.max(1, line - AROUND);
  return (
    <Panel title="Where it failed" note={`${strategy}, line ${line}, as it is now`}>
      <Scroll label="Where it failed">
        <ol className="at-line mono small" start={first}>
          {lines.slice(first - 1, line + AROUND).map((text, i) => (
            <li
              // biome-ignore lint/suspicious/noArrayIndexKey: lines of a text never move
              key={i}
              className={first + i === line ? 'failed' : ''}
              {...(first + i === line ? { 'aria-current': true } : {})}
            >
              <code>{text || ' '}</code>
            </li>
          ))}
        </ol>
      </Scroll>
    </Panel>
  );
}

/** What the job said while it ran. */
export function JobLog({ id }: { id: string }) {
  const { data, error } = useQuery({
    queryKey: ['job', id, 'log'],
    queryFn: ({ signal }) => api.jobLogs(id, { after: 0, limit: 1000 }, signal),
    retry: false,
  });
  return (
    <Panel title="Log of the job" note={id}>
      {data && data.items.length > 0 ? (
        <Scroll label="Log of the job">
          <pre className="panel-body mono small">
            {data.items.map(({ level, text }) => `${level}  ${text}`).join('\n')}
          </pre>
        </Scroll>
      ) : (
        <p className="panel-body secondary small">
          {error ? 'The job is forgotten: its log went with it.' : data ? 'It said nothing.' : 'Loading.'}
        </p>
      )}
    </Panel>
  );
}
