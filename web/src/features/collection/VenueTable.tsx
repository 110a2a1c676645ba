import { Play, ScrollText, Square } from 'lucide-react';
import { memo } from 'react';
import type { CollectorStatus } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { FeedWord } from '@/shared/FeedWord';
import type { FeedView, Freshness } from '@/shared/feed-state';
import { age, latency, NONE, number } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { Sparkline } from '@/shared/Sparkline';
import { freshnessOf, moment_ms, sparkValues } from './collection';

/** Older than this and the age of the last message is a warning. */
const OLD_MS = 5_000;
/** Nothing is expected of these. */
const QUIET = new Set<Freshness>(['idle', 'unknown']);

export function viewOf(collector: CollectorStatus): FeedView {
  return {
    freshness: freshnessOf(collector.state),
    since_ms: moment_ms(collector.last_message_ns) ?? 0,
    origin: 'venue',
    attempt: collector.attempt ?? 0,
    next_try_ms: moment_ms(collector.next_try_ns) ?? 0,
  };
}

interface Actions {
  /** Venue whose wanted state is being changed. */
  busy: string | null;
  setWanted(venue: string, wanted: boolean): void;
  showLogs(venue: string): void;
}

export function VenueTable(props: { collectors: CollectorStatus[] } & Actions) {
  const { collectors, ...actions } = props;
  const now_ms = useSecond();
  return (
    <Scroll label="Venues">
      <table className="venues">
        <thead>
          <tr>
            <th className="venue">Venue</th>
            <th className="feed">State</th>
            <th className="n c1">Instruments</th>
            <th className="n">Messages /s</th>
            <th className="n c2">Lag p50</th>
            <th className="n c1">Lag p99</th>
            <th className="n">Gaps today</th>
            <th className="n c3">Reconnects</th>
            <th className="n">Last message</th>
            <th className="n c3">CPU</th>
            <th className="spark c2">5 minutes</th>
            <th className="actions">
              <span className="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {collectors.map((collector) => (
            <VenueRow key={collector.venue} collector={collector} now_ms={now_ms} {...actions} />
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const VenueRow = memo(function VenueRow(props: { collector: CollectorStatus; now_ms: number } & Actions) {
  const { collector, now_ms, busy, setWanted, showLogs } = props;
  const view = viewOf(collector);
  const live = view.freshness === 'live';
  const last = moment_ms(collector.last_message_ns);
  const old = !live && !QUIET.has(view.freshness) && last !== null && now_ms - last > OLD_MS;
  return (
    <tr className={QUIET.has(view.freshness) ? 'idle' : undefined}>
      <td>
        <button type="button" className="venue-name medium" onClick={() => showLogs(collector.venue)}>
          {collector.venue}
        </button>
      </td>
      <td>
        <FeedWord view={view} now_ms={now_ms} />
      </td>
      <td className="n c1">{number(collector.instruments.length)}</td>
      <td
        className={`n ${collector.wanted && !collector.messages_per_s && !QUIET.has(view.freshness) ? 'state-stale' : ''}`}
      >
        {number(collector.messages_per_s)}
      </td>
      <td className="n c2">{latency(live ? collector.lag_p50_ns : null)}</td>
      <td className="n c1">{latency(live ? collector.lag_p99_ns : null)}</td>
      <td className={`n ${collector.gaps_open ? 'state-gap' : ''}`}>
        {number(collector.gaps_today)}
        {Boolean(collector.gaps_open) && `, ${collector.gaps_open} open`}
      </td>
      <td className="n c3">{number(collector.reconnects)}</td>
      <td className={`n ${old ? 'state-stale' : ''}`}>
        {last === null ? NONE : age(Math.max(0, now_ms - last))}
      </td>
      <td className="n c3">
        {collector.cpu_percent === null ? NONE : `${number(collector.cpu_percent)}\u00a0%`}
      </td>
      <td className="spark c2">
        <Sparkline
          values={sparkValues(collector.history, now_ms)}
          width={150}
          height={18}
          color={old ? 'var(--state-stale)' : live ? 'var(--accent-text)' : 'var(--text-tertiary)'}
          label={`Messages per second of ${collector.venue} over five minutes`}
        />
      </td>
      <td className="n actions">
        <button type="button" className="button xs" onClick={() => showLogs(collector.venue)}>
          <ScrollText size={12} strokeWidth={2} aria-hidden />
          Logs
        </button>
        <button
          type="button"
          className="button xs"
          disabled={busy === collector.venue}
          aria-label={`${collector.wanted ? 'Stop' : 'Start'} ${collector.venue}`}
          onClick={() => setWanted(collector.venue, !collector.wanted)}
        >
          {collector.wanted ? (
            <Square size={12} strokeWidth={2} aria-hidden />
          ) : (
            <Play size={12} strokeWidth={2} aria-hidden />
          )}
          {collector.wanted ? 'Stop' : 'Start'}
        </button>
      </td>
    </tr>
  );
});

/** On narrow screens a row becomes two lines. */
export function VenueCards(props: { collectors: CollectorStatus[] } & Actions) {
  const { collectors, busy, setWanted, showLogs } = props;
  const now_ms = useSecond();
  return (
    <ul className="venue-cards">
      {collectors.map((collector) => {
        const view = viewOf(collector);
        const live = view.freshness === 'live';
        return (
          <li key={collector.venue}>
            <button type="button" className="venue-card" onClick={() => showLogs(collector.venue)}>
              <span className="row">
                <span className="medium">{collector.venue}</span>
                <span className="space" />
                <span className="small">
                  <FeedWord view={view} now_ms={now_ms} />
                </span>
              </span>
              <span className="row small secondary">
                {number(collector.messages_per_s)} msg/s · p99 {latency(live ? collector.lag_p99_ns : null)} ·{' '}
                {collector.gaps_today} {collector.gaps_today === 1 ? 'gap' : 'gaps'} today
              </span>
            </button>
            <button
              type="button"
              className="button touch"
              disabled={busy === collector.venue}
              aria-label={`${collector.wanted ? 'Stop' : 'Start'} ${collector.venue}`}
              onClick={() => setWanted(collector.venue, !collector.wanted)}
            >
              {collector.wanted ? <Square size={14} aria-hidden /> : <Play size={14} aria-hidden />}
              {collector.wanted ? 'Stop' : 'Start'}
            </button>
          </li>
        );
      })}
    </ul>
  );
}
