import { ArrowRight } from 'lucide-react';
import type { Dataset, Job } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { age, msOfNs, NONE, number } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { Answer } from './Answer';
import { touches } from './lineage';
import { useJobsOf } from './queries';

const HOW: Record<string, string> = {
  live: 'collected live, written once by the recorder',
  generated: 'made up by the simulator as the past of its venue',
};

/** Who brought the rows, what is made of them, and the jobs that had to do with them. */
export function Lineage({ row }: { row: Dataset }) {
  const jobs = useJobsOf();
  const now_ms = useSecond();
  const steps =
    row.kind === 'bars'
      ? ['trades', 'bars of 1s, 1m, 1h and 1d', 'every other interval, when it is asked for']
      : [`${row.kind} of the lake`];
  return (
    <div className="dataset-two">
      <Panel title="Lineage">
        <ul className="lineage">
          {row.lineage.map((name) => (
            <li key={name}>
              <span className="medium">{name === 'live' ? row.venue : name}</span>
              <span className="small tertiary">
                {HOW[name] ?? 'fetched from it, or imported under its name'}
              </span>
            </li>
          ))}
        </ul>
        <div className="row panel-body small secondary lineage-steps">
          {steps.map((step, i) => (
            <span key={step} className="row">
              {i > 0 && <ArrowRight size={12} className="tertiary" aria-hidden />}
              <span className="chip">{step}</span>
            </span>
          ))}
        </div>
        <dl className="dataset-facts">
          <div>
            <dt>Kept</dt>
            <dd>{row.retention_days === null ? 'for ever' : `${number(row.retention_days)} days`}</dd>
          </div>
          <div>
            <dt>Store</dt>
            <dd className="mono">lake/{row.kind}</dd>
          </div>
        </dl>
      </Panel>
      <Panel title="Jobs" note="that name it or its venue">
        <Answer what="Jobs" answer={jobs}>
          {({ items }) => {
            const own = items.filter((job) => touches(job, row));
            if (own.length === 0)
              return <p className="panel-body secondary">No job of the newest 200 had to do with it.</p>;
            return (
              <Scroll label="Jobs" className="dataset-days">
                <table className="tight">
                  <thead>
                    <tr>
                      <th>Job</th>
                      <th>State</th>
                      <th className="n">Progress</th>
                      <th className="n">Begun</th>
                    </tr>
                  </thead>
                  <tbody>
                    {own.map((job) => (
                      <Line key={job.id} job={job} now_ms={now_ms} />
                    ))}
                  </tbody>
                </table>
              </Scroll>
            );
          }}
        </Answer>
      </Panel>
    </div>
  );
}

function Line({ job, now_ms }: { job: Job; now_ms: number }) {
  const tone = {
    done: 'secondary',
    failed: 'state-error',
    poisoned: 'state-error',
    running: 'state-connecting',
  }[job.state as string];
  return (
    <tr>
      <td>
        <span className="medium">{job.kind}</span> <span className="tertiary mono micro">{job.id}</span>
      </td>
      <td className={tone}>{job.state}</td>
      <td className="n">
        {job.state === 'running' && job.progress !== null ? `${number(job.progress * 100)}\u00a0%` : NONE}
      </td>
      <td className="n">{age(now_ms - msOfNs(job.created))}</td>
    </tr>
  );
}
