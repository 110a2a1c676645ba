import { useLayoutEffect, useRef } from 'react';
import type { Job } from '@/api/types';
import { msOfNs, number, timeOfDay } from '@/shared/format';
import { ErrorState } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { hasEnded } from './job';
import { useJobLog } from './queries';

const TONE: Record<string, string> = { warn: 'state-stale', warning: 'state-stale', error: 'state-error' };
/** So near the end, whoever reads wants the newest line. */
const END_PX = 24;

/** The newest lines a job wrote, followed while it runs; scrolled up, it stands still. */
export function JobLog({ job }: { job: Job }) {
  const { data, error, refetch } = useJobLog(job);
  const zone = useSettings((settings) => settings.zone);
  const element = useRef<HTMLElement>(null);
  const atEnd = useRef(true);
  const last = data ? data.dropped + data.lines.length : 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new line is the signal
  useLayoutEffect(() => {
    if (atEnd.current && element.current) element.current.scrollTop = element.current.scrollHeight;
  }, [last]);
  if (!data) {
    return error ? (
      <ErrorState what="Log" error={error} retry={() => void refetch()} />
    ) : (
      <p className="micro tertiary">Reading the log</p>
    );
  }
  if (data.lines.length === 0) {
    return (
      <p className="micro tertiary">
        {hasEnded(job.state) ? 'It logged nothing.' : 'It has logged nothing yet.'}
      </p>
    );
  }
  return (
    <>
      <div className="row micro tertiary job-log-head">
        <span className="medium">Log</span>
        {data.dropped > 0 && <span>newest {number(data.lines.length)} lines</span>}
        {error && <span className="state-stale">not renewed: the platform does not answer</span>}
      </div>
      <section
        ref={element}
        className="job-log scroll mono"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable without a pointer
        tabIndex={0}
        aria-label="Log lines"
        onScroll={({ currentTarget: at }) => {
          atEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < END_PX;
        }}
      >
        {data.lines.map((line, i) => {
          const level = line.level.toLowerCase();
          return (
            <div
              // biome-ignore lint/suspicious/noArrayIndexKey: its number in the whole log, which never changes
              key={data.dropped + i}
              className="job-line"
            >
              <span className="tertiary">{timeOfDay(msOfNs(line.ts), zone)}</span>
              <span className={TONE[level] ?? 'secondary'}>
                {level in TONE && <span className="hidden">{level}: </span>}
                {line.text}
              </span>
            </div>
          );
        })}
      </section>
    </>
  );
}
