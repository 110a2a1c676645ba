import {
  Ban,
  ChevronRight,
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CirclePlay,
  CircleStop,
  type LucideIcon,
  OctagonX,
} from 'lucide-react';
import { memo, type ReactNode, useLayoutEffect, useRef } from 'react';
import type { Job, JobState } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { NONE, number } from '@/shared/format';
import { useConfig } from '@/shared/queries';
import { useSettings } from '@/shared/settings';
import { copyText } from '@/shared/toast';
import { JobError } from './JobError';
import { JobLog } from './JobLog';
import {
  askedText,
  curlSnippet,
  doneText,
  etaText,
  hasEnded,
  hasFailed,
  kindWords,
  momentText,
  ownerWords,
  percentOf,
  rateText,
  resultText,
  shortMoment,
  tookText,
} from './job';
import { useCancel, useIsCancelling, useRetry } from './queries';

const MARKS: Record<JobState | 'cancelling', [icon: LucideIcon, tone: string, word: string]> = {
  queued: [CircleDashed, 'state-idle', 'waiting'],
  running: [CirclePlay, 'state-connecting', 'running'],
  cancelling: [CircleStop, 'state-stale', 'cancelling'],
  done: [CircleCheck, 'state-live', 'done'],
  failed: [CircleAlert, 'state-error', 'failed'],
  cancelled: [Ban, 'state-idle', 'cancelled'],
  poisoned: [OctagonX, 'state-error', 'given up'],
};

interface ItemProps {
  job: Job;
  /** Who is signed in; undefined until it is known. */
  me: string | undefined;
  /** News come as they happen; without them rate and time left are nobody's knowledge. */
  live: boolean;
  open: boolean;
  toggle(id: string): void;
}

/** One job: two lines and a bar; opened, everything that is known of it. */
export const JobItem = memo(function JobItem({ job, me, live, open, toggle }: ItemProps) {
  const cancelling = useIsCancelling(job) && !hasEnded(job.state);
  const [Icon, tone, word] = MARKS[cancelling ? 'cancelling' : job.state] ?? MARKS.queued;
  const asked = askedText(job.detail);
  const running = job.state === 'running';
  const foreign = me !== undefined && job.owner !== me;
  const body = `job-${job.id}`;
  return (
    <li className={`job ${open ? 'open' : ''}`}>
      <div className="row job-head">
        <Icon size={14} strokeWidth={2} className={tone} aria-hidden />
        <button
          type="button"
          className="job-name cut"
          aria-label={`${kindWords(job.kind)}, ${word}`}
          aria-expanded={open}
          aria-controls={open ? body : undefined}
          onClick={() => toggle(job.id)}
        >
          {kindWords(job.kind)}
        </button>
        <span className="space" />
        <Outcome job={job} word={word} tone={tone} cancelling={cancelling} />
        <ChevronRight size={14} strokeWidth={1.75} className="job-fold tertiary" aria-hidden />
      </div>
      {(asked || foreign) && (
        <div className="row small secondary job-asked">
          {foreign && (
            <span className="chip" title="Who asked for it">
              {ownerWords(job.owner)}
            </span>
          )}
          <span className="cut" title={asked}>
            {asked}
          </span>
        </div>
      )}
      {running && <Progress job={job} cancelling={cancelling} />}
      {!hasEnded(job.state) && (
        <Figures job={job} live={live} action={<CancelButton job={job} cancelling={cancelling} />} />
      )}
      {!open && hasFailed(job.state) && job.error && (
        <div className="row job-why">
          <span className="small state-error cut" title={job.error.message}>
            {job.error.message}
          </span>
          <span className="space" />
          <RetryButton job={job} />
        </div>
      )}
      {open && <Details id={body} job={job} />}
    </li>
  );
});

/** At the right: how far a running job is, how the others stand. */
function Outcome(props: { job: Job; word: string; tone: string; cancelling: boolean }) {
  const { job, word, tone, cancelling } = props;
  const zone = useSettings((settings) => settings.zone);
  const took = tookText(job.started, job.ended);
  const when = shortMoment(job.ended ?? job.started, Date.now(), zone);
  if (job.state === 'running' && !cancelling) {
    const percent = percentOf(job);
    return (
      <span className="small job-outcome">
        <span className="tertiary">since {when}</span>
        {percent !== null && <span className="job-percent">{number(percent)}&nbsp;%</span>}
      </span>
    );
  }
  return (
    <span className="small job-outcome">
      <span>
        <span className={job.state === 'done' ? 'secondary' : tone}>{word}</span>
        {took && <span className="tertiary"> {job.state === 'done' ? `in ${took}` : `after ${took}`}</span>}
      </span>
      {hasEnded(job.state) && <span className="tertiary">{when}</span>}
    </span>
  );
}

function Progress({ job, cancelling }: { job: Job; cancelling: boolean }) {
  const percent = percentOf(job);
  return (
    <div
      className={`job-bar ${cancelling ? 'cancelling' : ''} ${percent === null ? 'unknown' : ''}`}
      role="progressbar"
      aria-label={`${kindWords(job.kind)} ${askedText(job.detail)}`.trim()}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent ?? undefined}
      aria-valuetext={
        [percent !== null && `${percent} %`, doneText(job), etaText(job)].filter(Boolean).join(', ') ||
        undefined
      }
    >
      <i style={{ width: `${percent ?? 100}%` }} />
    </div>
  );
}

/** Counted, measured and said by the job itself, and the way to stop it. */
function Figures({ job, live, action }: { job: Job; live: boolean; action: ReactNode }) {
  const facts = [
    job.attempts > 1 && `attempt ${job.attempts} of ${job.attempts_max}`,
    doneText(job),
    live && job.state === 'running' && rateText(job),
    live && job.state === 'running' && etaText(job),
  ].filter(Boolean);
  return (
    <div className="row job-figures">
      <div className="micro tertiary job-facts">
        {job.note && <div className="cut secondary">{job.note}</div>}
        {facts.length > 0 ? (
          <div>{facts.join(' \u00b7 ')}</div>
        ) : (
          !job.note && <div>{job.state === 'queued' ? 'Waits for a free worker' : 'Counts nothing yet'}</div>
        )}
      </div>
      <span className="space" />
      {action}
    </div>
  );
}

/** Stays where it is once pressed, so that the focus does too; once the job has ended the list takes it. */
function CancelButton({ job, cancelling }: { job: Job; cancelling: boolean }) {
  const cancel = useCancel();
  const element = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    const button = element.current;
    return () => {
      if (button && document.activeElement === button) button.closest<HTMLElement>('.jobs-list')?.focus();
    };
  }, []);
  return (
    <button
      ref={element}
      type="button"
      className="button xs"
      aria-label={`${cancelling ? 'Cancelling' : 'Cancel'} ${kindWords(job.kind)}`}
      aria-disabled={cancelling}
      onClick={() => cancelling || cancel.mutate(job)}
    >
      {cancelling ? 'Cancelling' : 'Cancel'}
    </button>
  );
}

function RetryButton({ job }: { job: Job }) {
  const retry = useRetry();
  return (
    <button
      type="button"
      className="button xs"
      title="Submits the same work as a new job"
      aria-disabled={retry.isPending}
      onClick={() => retry.isPending || retry.mutate(job)}
    >
      Retry
    </button>
  );
}

function Details({ id, job }: { id: string; job: Job }) {
  const zone = useSettings((settings) => settings.zone);
  const now_ms = useSecond();
  const moment = (ns: string | null) => momentText(ns, now_ms, zone) || NONE;
  const home = useConfig().data?.home ?? '~/.local/share/tidemill';
  const result = resultText(job.result);
  const again = hasFailed(job.state) || job.state === 'cancelled';
  return (
    <div id={id} className="job-details">
      {job.error && <JobError error={job.error} />}
      <dl className="facts">
        <dt>Asked for by</dt>
        <dd>{ownerWords(job.owner)}</dd>
        <dt>Submitted</dt>
        <dd>{moment(job.created)}</dd>
        <dt>Started</dt>
        <dd>{moment(job.started)}</dd>
        {job.ended !== null && (
          <>
            <dt>Ended</dt>
            <dd>{moment(job.ended)}</dd>
          </>
        )}
        {job.attempts > 0 && (
          <>
            <dt>Attempt</dt>
            <dd>
              {number(job.attempts)} of {number(job.attempts_max)}
            </dd>
          </>
        )}
        {hasEnded(job.state) && doneText(job) && (
          <>
            <dt>Counted</dt>
            <dd>{doneText(job)}</dd>
          </>
        )}
        {result && (
          <>
            <dt>Result</dt>
            <dd className="job-result">{result}</dd>
          </>
        )}
        <dt>Id</dt>
        <dd className="mono">{job.id}</dd>
      </dl>
      <div className="row job-actions">
        {again && <RetryButton job={job} />}
        <button type="button" className="button xs quiet" onClick={() => void copyText(job.id, 'Id')}>
          Copy id
        </button>
        <button
          type="button"
          className="button xs quiet"
          onClick={() => void copyText(curlSnippet(location.origin, home, job.id), 'Command')}
        >
          Copy as curl
        </button>
        <button
          type="button"
          className="button xs quiet"
          onClick={() => void copyText(JSON.stringify(job, null, 2), 'Details')}
        >
          Copy details
        </button>
      </div>
      <JobLog job={job} />
    </div>
  );
}
