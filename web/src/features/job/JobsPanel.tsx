import { Clock, ListChecks } from 'lucide-react';
import { useCallback, useMemo, useState } from 'react';
import { useSecond } from '@/shared/clock';
import { useEventStream } from '@/shared/events';
import { age, number } from '@/shared/format';
import { ErrorState } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { copyText } from '@/shared/toast';
import { JobItem } from './JobItem';
import { FILTERS, type Filter, groups, type hasFailed } from './job';
import { PAGE, PAGE_MOST, useFailedJobs, useJobs, useMe, useSpoken } from './queries';

const EMPTY: Record<Exclude<Filter, 'all'>, string> = {
  running: 'Nothing runs or waits.',
  ended: 'No job has ended yet.',
  failed: 'No job has failed.',
};

/** Every job of the platform: what runs, what waits, what ended. */
export function JobsPanel() {
  const [filter, setFilter] = useState<Filter>('all');
  const [limit, setLimit] = useState(PAGE);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const all = useJobs(limit);
  const failures = useFailedJobs(limit, filter === 'failed');
  const answer = filter === 'failed' ? failures : all;
  const me = useMe();
  const live = useEventStream(({ state }) => state === 'live');
  const list = answer.data;
  const shown = useMemo(() => groups(list?.jobs ?? [], filter), [list, filter]);
  const counts = useMemo(() => countsOf(all.data?.jobs ?? []), [all.data]);
  const toggle = useCallback(
    (id: string) =>
      setOpen((before) => {
        const next = new Set(before);
        if (!next.delete(id)) next.add(id);
        return next;
      }),
    [],
  );
  const spoken = useSpoken(({ text }) => text);
  return (
    <>
      <span className="hidden" role="status">
        {spoken}
      </span>
      <div className="jobs-tools">
        {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
        <div className="segments s" role="group" aria-label="Jobs shown">
          {FILTERS.map(([value, label]) => (
            <button
              key={value}
              type="button"
              aria-pressed={value === filter}
              onClick={() => setFilter(value)}
            >
              {label}
              {value === 'running' && counts.running > 0 && (
                <span className="secondary"> {number(counts.running)}</span>
              )}
            </button>
          ))}
        </div>
      </div>
      {list && !live && <Old read_ms={answer.dataUpdatedAt} failed={answer.isError} />}
      {list ? (
        shown.length > 0 ? (
          <Scroll label="List of jobs" className={`jobs-list ${live ? '' : 'old'}`}>
            {shown.map((group) => (
              <section key={group.title} aria-label={group.title}>
                <h3 className="jobs-group">
                  {group.title} <span className="tertiary">{number(group.jobs.length)}</span>
                </h3>
                <ul>
                  {group.jobs.map((job) => (
                    <JobItem
                      key={job.id}
                      job={job}
                      me={me}
                      live={live}
                      open={open.has(job.id)}
                      toggle={toggle}
                    />
                  ))}
                </ul>
              </section>
            ))}
            {list.more && filter !== 'running' && (
              <div className="jobs-more">
                {limit < PAGE_MOST ? (
                  <button
                    type="button"
                    className="button s"
                    onClick={() => setLimit((before) => Math.min(PAGE_MOST, before + PAGE))}
                  >
                    Show older
                  </button>
                ) : (
                  <span className="small tertiary">
                    Older ones: <code className="mono">tidemill jobs ls</code>
                  </span>
                )}
              </div>
            )}
          </Scroll>
        ) : filter === 'all' ? (
          <NoJobs />
        ) : (
          <p className="jobs-none small secondary">{EMPTY[filter]}</p>
        )
      ) : answer.error ? (
        <ErrorState what="Jobs" error={answer.error} retry={() => void answer.refetch()} />
      ) : (
        <SkeletonJobs />
      )}
    </>
  );
}

const countsOf = (jobs: { state: Parameters<typeof hasFailed>[0] }[]) => ({
  running: jobs.filter(({ state }) => state === 'running').length,
});

/** Numbers that nothing renews are shown with their age, never as if they were now. */
function Old(props: { read_ms: number; failed: boolean }) {
  const now_ms = useSecond();
  const read = age(Math.max(1000, now_ms - props.read_ms));
  return (
    <p className="jobs-old micro">
      <Clock size={12} strokeWidth={2} aria-hidden />
      {props.failed
        ? `What stands here is ${read} old: the platform does not answer.`
        : `Read ${read} ago: live news are cut off, the list is asked for instead.`}
    </p>
  );
}

const EXAMPLE = 'tidemill jobs submit verify';

function NoJobs() {
  return (
    <div className="empty">
      <ListChecks size={18} className="tertiary" aria-hidden />
      <div className="strong">No jobs yet</div>
      <p>
        Work longer than a moment, such as an export, runs as a job. It goes on when this page is closed, and
        is listed here with its progress, its log and how it ended.
      </p>
      <p>
        Start one that proves what is stored: <code className="mono">{EXAMPLE}</code>
      </p>
      <button type="button" className="button" onClick={() => void copyText(EXAMPLE, 'Command')}>
        Copy command
      </button>
    </div>
  );
}

/** Jobs in their final shape: name, bar, figures. */
function SkeletonJobs() {
  return (
    <div className="jobs-waiting" aria-hidden>
      {[62, 84, 48].map((width) => (
        <div key={width}>
          <div className="row">
            <i className="skeleton" style={{ width: `${width}%` }} />
            <span className="space" />
            <i className="skeleton" style={{ width: 32 }} />
          </div>
          <i className="skeleton" style={{ height: 4, marginTop: 12 }} />
          <i className="skeleton" style={{ width: '40%', marginTop: 10 }} />
        </div>
      ))}
    </div>
  );
}
