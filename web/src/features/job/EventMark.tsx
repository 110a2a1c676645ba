import { RefreshCw } from 'lucide-react';
import { useSecond } from '@/shared/clock';
import { useEventStream } from '@/shared/events';
import { FeedMark } from '@/shared/FeedWord';
import { age } from '@/shared/format';

/** Whether what the dock shows is renewed as it happens; anything less is worded. */
export function EventMark() {
  const { state, attempt, next_try_ms } = useEventStream();
  const now_ms = useSecond();
  if (state === 'live') {
    return (
      <span className="state small state-live" role="status">
        <FeedMark freshness="live" />
        <span className="secondary">live</span>
      </span>
    );
  }
  const wait_ms = next_try_ms - now_ms;
  return (
    <span className={`chip ${state === 'reconnecting' ? 'stale' : ''}`}>
      <RefreshCw size={12} strokeWidth={2} aria-hidden />
      {/* Said once, not with every second of the count-down. */}
      <span className="hidden" role="status">
        {state === 'connecting' ? 'Connecting to the events' : 'The events are cut off'}
      </span>
      <span aria-hidden>
        {state === 'connecting'
          ? 'connecting'
          : `not live, attempt ${attempt}${wait_ms > 0 ? ` in ${age(Math.max(1000, wait_ms))}` : ''}`}
      </span>
    </span>
  );
}
