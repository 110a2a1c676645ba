import { ListChecks } from 'lucide-react';
import { useEffect } from 'react';
import { runCommand } from '@/shared/command';
import { number } from '@/shared/format';
import { DOCK_BUTTON, useDock } from './dock';
import { hasFailed, lastFailure } from './job';
import './job-button.css';
import { useJobNews, useJobs } from './queries';

/** Opens and closes the dock; says how many jobs run, and that one failed since it was last looked at. */
export function JobsButton(props: { phone: boolean; preload(): void }) {
  const { phone, preload } = props;
  useJobNews();
  const jobs = useJobs().data?.jobs ?? [];
  const { open, seen_ns } = useDock();
  const running = jobs.filter(({ state }) => state === 'running').length;
  const failure = lastFailure(jobs);
  const seen = BigInt(seen_ns);
  const failed = open
    ? 0
    : jobs.filter(({ state, ended }) => hasFailed(state) && BigInt(ended ?? 0) > seen).length;
  useEffect(() => {
    if (open && failure > seen) useDock.setState({ seen_ns: String(failure) });
  }, [open, failure, seen]);
  const words = [
    'Jobs',
    running > 0 && `${number(running)} running`,
    failed > 0 && `${number(failed)} failed since you last looked`,
  ];
  const label = words.filter(Boolean).join(', ');
  return (
    <button
      type="button"
      id={DOCK_BUTTON}
      className={phone ? 'jobs-button' : `icon-button jobs-button ${open ? 'on' : ''}`}
      aria-label={label}
      aria-expanded={open}
      title={phone ? undefined : `${label} (Alt+J)`}
      onPointerEnter={preload}
      onFocus={preload}
      onClick={() => runCommand('jobs.toggle')}
    >
      <span className="jobs-icon">
        <ListChecks size={phone ? 20 : 16} strokeWidth={phone ? 1.6 : 1.75} aria-hidden />
        {running > 0 && (
          <span className="bubble" aria-hidden>
            {running > 99 ? '99+' : running}
          </span>
        )}
        {failed > 0 && <span className="failed-dot" aria-hidden />}
      </span>
      {phone && 'Jobs'}
    </button>
  );
}
