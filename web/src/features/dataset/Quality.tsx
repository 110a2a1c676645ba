import { CircleCheck, Copy, ShieldCheck, TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import { ApiError, api } from '@/api/client';
import type { Dataset, Job } from '@/api/types';
import { date, msOfNs, NONE, number, timeOfDay } from '@/shared/format';
import { ErrorState, Panel } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { copyText, toast } from '@/shared/toast';
import { Answer } from './Answer';
import { type Count, useCounts, useJobsOf } from './queries';
import { type Check, checksOf, checksSql } from './snippet';

const DAY_MS = 86_400_000;

/** What is odd in a day, counted in its rows as they lie there; and the proof that all of them are there. */
export function Quality({ row }: { row: Dataset }) {
  const last = row.end === null ? Date.now() : msOfNs(row.end);
  const first = row.start === null ? last : msOfNs(row.start);
  const iso = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const [day, setDay] = useState(iso(last));
  const whole = day >= iso(first) && day <= iso(last);
  const checks = checksOf(row, day);
  const counts = useCounts(checksSql(checks));
  return (
    <div className="dataset-two">
      <Panel
        title="One day, row by row"
        note="counted in the lake, UTC"
        actions={
          <label className="field dataset-day">
            <span className="hidden">Day</span>
            <input
              type="date"
              value={day}
              min={iso(first)}
              max={iso(last)}
              onChange={({ target }) => target.value && setDay(target.value)}
            />
          </label>
        }
      >
        {whole && counts.error && (
          <ErrorState what="The counts" error={counts.error} retry={() => void counts.refetch()} />
        )}
        {whole ? (
          <ul className="checks">
            {checks.map((check, at) => (
              <One key={check.name} check={check} count={counts.data?.[at]} failed={counts.error !== null} />
            ))}
          </ul>
        ) : (
          <p className="panel-body secondary">The dataset does not reach over this day.</p>
        )}
        <p className="panel-body small tertiary">
          {row.kind === 'levels'
            ? 'Books are checked as they arrive: one that does not match its venue is never shown as valid, and stands among the gaps as “checksum”.'
            : 'Duplicates of live rows are refused when they are stored; what is counted here should be 0.'}{' '}
          {day === iso(new Date(Date.now()).getTime()) && Date.now() - last < DAY_MS
            ? 'Of today, the newest seconds are not in the lake yet.'
            : ''}
        </p>
      </Panel>
      <Proof row={row} />
    </div>
  );
}

function One({ check, count, failed }: { check: Check; count: Count | undefined; failed: boolean }) {
  return (
    <li>
      <div>
        <div className="medium">{check.name}</div>
        <div className="small tertiary">{check.says}</div>
      </div>
      <div className="checks-found">
        {count ? (
          <span className={count.found > 0 ? 'state state-stale' : 'state secondary'}>
            {count.found > 0 ? (
              <TriangleAlert size={12} strokeWidth={2} aria-hidden />
            ) : (
              <CircleCheck size={12} strokeWidth={2} aria-hidden />
            )}
            <b>{number(count.found)}</b> of {number(count.total)}
          </span>
        ) : failed ? (
          NONE
        ) : (
          <i className="skeleton" style={{ width: 64 }} />
        )}
        <button
          type="button"
          className="icon-button"
          aria-label={`Copy the SQL of ${check.name}`}
          title="Copy as SQL"
          onClick={() => void copyText(check.sql, 'SQL')}
        >
          <Copy size={13} aria-hidden />
        </button>
      </div>
    </li>
  );
}

interface Report {
  venue: string;
  clean: boolean;
  rows: number;
  files: number;
  missing: number;
  doubled: number;
  bars: number;
  bars_wrong: number;
  unreadable: string[];
}

/** The newest proof that speaks of this dataset: of its instrument, its venue, or of everything. */
function newest(jobs: readonly Job[], row: Dataset): { job: Job; report: Report | null } | null {
  for (const job of jobs) {
    const what = (job.detail as { what?: string | null }).what ?? null;
    if (what !== null && what !== row.venue && what !== row.instrument) continue;
    const venues = (job.result as { venues?: Report[] } | null)?.venues ?? [];
    const report = venues.find(({ venue }) => venue === row.venue) ?? null;
    if (job.state === 'done' && !report) continue;
    return { job, report };
  }
  return null;
}

export function Proof({ row }: { row: Dataset }) {
  const jobs = useJobsOf('verify');
  const zone = useSettings((settings) => settings.zone);
  const verify = () =>
    api
      .submitJob('verify', { what: row.instrument })
      .then(() => {
        toast('Every row of the venue is looked at; see the jobs');
        void jobs.refetch();
      })
      .catch((error: Error) =>
        toast(`It is not verified: ${error instanceof ApiError ? error.body.message : error.message}`, 'bad'),
      );
  return (
    <Panel title="Completeness certificate" className="dataset-proof">
      <Answer what="The certificate" answer={jobs}>
        {({ items }) => {
          const found = newest(items, row);
          const busy = found !== null && ['queued', 'running'].includes(found.job.state);
          const { report } = found ?? { report: null };
          const ended = found?.job.ended ? msOfNs(found.job.ended) : null;
          return (
            <>
              <div className="proof-head">
                {report?.clean ? (
                  <ShieldCheck size={32} strokeWidth={1.5} className="state-live" aria-hidden />
                ) : (
                  <TriangleAlert
                    size={32}
                    strokeWidth={1.5}
                    className={report ? 'state-gap' : 'tertiary'}
                    aria-hidden
                  />
                )}
                <div>
                  <div className="strong">
                    {report
                      ? report.clean
                        ? 'Whole: none missing, none twice'
                        : 'Not whole'
                      : busy
                        ? 'Being verified'
                        : found?.job.state === 'failed'
                          ? 'It could not be verified'
                          : 'Never verified'}
                  </div>
                  <div className="small secondary">
                    {report
                      ? `${number(report.rows)} rows of ${row.venue} looked at`
                      : busy
                        ? (found.job.note ?? found.job.state)
                        : (found?.job.error?.message ??
                          'Every stored row is read, its number looked for, and bars are made anew of their trades.')}
                  </div>
                </div>
              </div>
              {report && (
                <dl className="dataset-facts">
                  {(
                    [
                      ['Missing', report.missing],
                      ['In more than one row', report.doubled],
                      ['Bars compared', report.bars],
                      ['Bars that differ', report.bars_wrong],
                      ['Files read', report.files],
                      ['Files unreadable', report.unreadable.length],
                    ] as const
                  ).map(([name, value]) => (
                    <div key={name}>
                      <dt>{name}</dt>
                      <dd>{number(value)}</dd>
                    </div>
                  ))}
                  <div>
                    <dt>Issued</dt>
                    <dd>{ended === null ? NONE : `${date(ended, zone)} ${timeOfDay(ended, zone)}`}</dd>
                  </div>
                </dl>
              )}
              <div className="row panel-body">
                <button type="button" className="button" disabled={busy} onClick={() => void verify()}>
                  <ShieldCheck size={14} aria-hidden />
                  {report ? 'Verify again' : 'Verify'}
                </button>
                {report && (
                  <button
                    type="button"
                    className="button quiet"
                    onClick={() => void copyText(JSON.stringify(report, null, 2), 'Certificate')}
                  >
                    <Copy size={13} aria-hidden />
                    Copy
                  </button>
                )}
              </div>
            </>
          );
        }}
      </Answer>
    </Panel>
  );
}
