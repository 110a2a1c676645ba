import { TriangleAlert } from 'lucide-react';
import { useSecond } from '@/shared/clock';
import { FeedWord } from '@/shared/FeedWord';
import { useFeeds } from '@/shared/feeds';
import { number } from '@/shared/format';
import { useConfig } from '@/shared/queries';
import { useFeed } from '@/shared/stream';
import { ModeBadge } from './ModeBadge';

/** A clock that is off by more than this makes ages and count-downs wrong enough to say so. */
const CLOCK_OFF_MS = 2_000;

export function StatusStrip(props: { openGaps: number | null; jobs: number | null }) {
  const config = useConfig().data;
  const feeds = useFeeds();
  const now_ms = useSecond();
  const rate = useFeed((feed) => feed.messages_per_s);
  const seen = useFeed((feed) => feed.gaps);
  const offset_ms = useFeed((feed) => feed.connection.clock_offset_ms);
  const { openGaps } = props;
  return (
    <footer className="strip">
      <span className="first">
        {config?.mode && <ModeBadge mode={config.mode} />}
        {config && <span className="tertiary">profile {config.profile}</span>}
      </span>
      {feeds.map(({ venue, view }) => (
        <span key={venue}>
          {/* Without the stream nothing is known of the venue; why is said at the top. */}
          <FeedWord
            view={view.origin === 'page' ? { ...view, freshness: 'unknown' } : view}
            now_ms={now_ms}
            name={venue}
          />
        </span>
      ))}
      <span title="What this page receives">
        <span className="tertiary">stream</span>
        {number(rate)} msg/s
      </span>
      <span className={openGaps ? 'state-gap' : undefined}>
        {openGaps ? <TriangleAlert size={12} strokeWidth={2} aria-hidden /> : null}
        <span className={openGaps ? undefined : 'tertiary'}>gaps</span>
        {openGaps === null ? number(seen) : openGaps > 0 ? `${number(openGaps)} open` : '0 open'}
      </span>
      {props.jobs !== null && props.jobs > 0 && (
        <span>
          <span className="tertiary">jobs</span>
          {number(props.jobs)} running
        </span>
      )}
      <span className="space end" />
      {Math.abs(offset_ms) > CLOCK_OFF_MS && (
        <span className="end state-stale">
          this computer’s clock is off by {number(Math.abs(offset_ms) / 1000, 1)} s
        </span>
      )}
      {config && (
        <span className="end">
          <span className="tertiary">v</span>
          {config.version}
        </span>
      )}
    </footer>
  );
}
