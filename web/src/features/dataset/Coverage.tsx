import { ShieldCheck, TriangleAlert, Unplug, Wrench } from 'lucide-react';
import { useMemo, useState } from 'react';
import { ApiError, api } from '@/api/client';
import type { Dataset, Gap, Provider } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { date, duration, msOfNs, NONE, number, timeOfDay } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { toast } from '@/shared/toast';
import { Answer } from './Answer';
import { Calendar } from './Calendar';
import { DayBars } from './DayBars';
import { daysOf, dayText } from './dataset';
import { Proof } from './Quality';
import { useCoverage, useGaps, useProviders } from './queries';
import { backfillOf, CHANNELS, whyOf } from './repair';

const DAY_MS = 86_400_000;
const YEAR_MS = 371 * DAY_MS;

const isoDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Which days are here, what is missing of them, and why. */
export function Coverage({ row }: { row: Dataset }) {
  const last = row.end === null ? Date.now() : msOfNs(row.end);
  const first = row.start === null ? last : msOfNs(row.start);
  const [back, setBack] = useState(0);
  const until = Math.floor(last / DAY_MS) * DAY_MS + DAY_MS - back * 364 * DAY_MS;
  const coverage = useCoverage(row.id, isoDay(until - YEAR_MS), isoDay(until));
  const [table, setTable] = useState(false);
  const earlier = until - YEAR_MS > first;
  return (
    <div className="dataset-two coverage">
      <div className="dataset-stack">
        <Panel
          title="Coverage by day"
          note="shade: rows of that UTC day; marks: completeness"
          actions={
            <>
              {(earlier || back > 0) && (
                <>
                  <button
                    type="button"
                    className="button s quiet"
                    disabled={!earlier}
                    onClick={() => setBack(back + 1)}
                  >
                    Earlier
                  </button>
                  <button
                    type="button"
                    className="button s quiet"
                    disabled={back === 0}
                    onClick={() => setBack(back - 1)}
                  >
                    Later
                  </button>
                </>
              )}
              <button
                type="button"
                className="button s quiet"
                aria-pressed={table}
                onClick={() => setTable(!table)}
              >
                {table ? 'View as calendar' : 'View as table'}
              </button>
            </>
          }
        >
          <Answer what="Coverage" answer={coverage}>
            {(found) => <Days found={found} table={table} />}
          </Answer>
        </Panel>
        <Gaps row={row} />
        <Panel title="Rows per day" note="the newest 90 days of this view">
          <Answer what="Rows per day" answer={coverage}>
            {(found) => <DayBars days={daysOf(found).slice(-90)} />}
          </Answer>
        </Panel>
      </div>
      <Proof row={row} />
    </div>
  );
}

function Days({ found, table }: { found: Parameters<typeof daysOf>[0]; table: boolean }) {
  const days = useMemo(() => daysOf(found), [found]);
  if (days.length === 0) return <p className="panel-body secondary">It has no rows in these days.</p>;
  if (!table) return <Calendar days={days} />;
  return (
    <Scroll label="Days, newest first" className="dataset-days">
      <table className="tight">
        <thead>
          <tr>
            <th>Day</th>
            <th className="n">Rows</th>
            <th>Completeness</th>
          </tr>
        </thead>
        <tbody>
          {[...days].reverse().map((day) => (
            <tr key={day.date}>
              <td>{day.date}</td>
              <td className="n">{number(day.rows)}</td>
              <td className={day.completeness !== null && day.completeness < 1 ? 'state-gap' : 'secondary'}>
                {dayText(day).replace(/^[^:]*: /, '')}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const MARKS = {
  open: ['state-gap', TriangleAlert, 'open'],
  ended: ['state-gap', TriangleAlert, 'not filled'],
  filled: ['state-repaired', ShieldCheck, 'repaired'],
  unfillable: ['tertiary', Unplug, 'cannot be filled'],
} as const;

const markOf = (gap: Gap): (typeof MARKS)[keyof typeof MARKS] =>
  MARKS[gap.state === 'open' && gap.ended_at !== null ? 'ended' : gap.state];

const FILTERS = ['all', 'open', 'repaired'] as const;

/** The holes of the ledger that touch the dataset, newest first. */
function Gaps({ row }: { row: Dataset }) {
  const gaps = useGaps(row.instrument);
  const providers = useProviders().data?.items;
  const [only, setOnly] = useState<(typeof FILTERS)[number]>('all');
  const channels = CHANNELS[row.kind] ?? [];
  const own = gaps.data?.items.filter(({ channel }) => channel === 'all' || channels.includes(channel)) ?? [];
  const shown = own.filter(
    ({ state }) => only === 'all' || (only === 'repaired' ? state === 'filled' : state !== 'filled'),
  );
  const count = (state: (typeof FILTERS)[number]) =>
    own.filter((gap) => state === 'all' || (gap.state === 'filled') === (state === 'repaired')).length;
  return (
    <Panel
      title="Gaps"
      note={gaps.data ? `${number(own.length)}${gaps.data.next ? ' newest' : ''}` : undefined}
      actions={
        // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
        <div className="segments s" role="group" aria-label="Which gaps">
          {FILTERS.map((name) => (
            <button key={name} type="button" aria-pressed={only === name} onClick={() => setOnly(name)}>
              {name === 'all' ? 'All' : `${name === 'open' ? 'Open' : 'Repaired'} ${number(count(name))}`}
            </button>
          ))}
        </div>
      }
    >
      <Answer what="Gaps" answer={gaps}>
        {() =>
          shown.length === 0 ? (
            <div className="empty">
              <ShieldCheck size={18} className="tertiary" aria-hidden />
              <div className="strong">{only === 'all' ? 'No gaps' : 'No such gap'}</div>
              <p>
                A hole in the venue’s stream stands here with its times, its cause and whether it was filled.
              </p>
            </div>
          ) : (
            <Scroll label="Gaps, newest first" className="dataset-gaps">
              <table className="tight">
                <thead>
                  <tr>
                    <th>Day</th>
                    <th className="n">From</th>
                    <th className="n">To</th>
                    <th className="n">Length</th>
                    <th className="n">Missing</th>
                    <th>State</th>
                    <th>Reason</th>
                    <th aria-label="Actions" />
                  </tr>
                </thead>
                <tbody>
                  {shown.map((gap) => (
                    <GapRow key={gap.id} gap={gap} row={row} providers={providers} />
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        }
      </Answer>
    </Panel>
  );
}

function GapRow(props: { gap: Gap; row: Dataset; providers: Provider[] | undefined }) {
  const { gap, row, providers } = props;
  const zone = useSettings((settings) => settings.zone);
  const now_ms = useSecond();
  const ms = (ns: string | null) => (ns === null || ns === '0' ? null : msOfNs(ns));
  const from = ms(gap.ts_event_open) ?? ms(gap.opened_at);
  const to = gap.ended_at === null ? null : (ms(gap.ts_event_end) ?? ms(gap.ended_at));
  const [tone, Icon, word] = markOf(gap);
  const order =
    gap.state === 'filled' || from === null ? null : backfillOf(row, gap, providers, to ?? now_ms);
  return (
    <tr>
      <td>{from === null ? NONE : date(from, zone)}</td>
      <td className="n">{from === null ? NONE : timeOfDay(from, zone)}</td>
      <td className="n">{to === null ? 'now' : timeOfDay(to, zone)}</td>
      <td className="n">{from === null ? NONE : duration(Math.max(0, (to ?? now_ms) - from))}</td>
      <td className="n">{gap.missing < 0 ? 'unknown' : number(gap.missing)}</td>
      <td>
        <span className={`state ${tone}`}>
          <Icon size={12} strokeWidth={2} aria-hidden />
          {word}
        </span>
      </td>
      <td className="secondary">
        {whyOf(gap)}
        {gap.instrument === null ? ', whole venue' : ''}
      </td>
      <td className="n">
        {order && to !== null && (
          <button
            type="button"
            className="button xs"
            onClick={() =>
              api
                .fetchHistory(order)
                .then(() => toast(`${order.provider} is asked for it; see the jobs`))
                .catch((error: Error) =>
                  toast(
                    `It was not asked for: ${error instanceof ApiError ? error.body.message : error.message}`,
                    'bad',
                  ),
                )
            }
          >
            <Wrench size={11} aria-hidden />
            Backfill
          </button>
        )}
      </td>
    </tr>
  );
}
