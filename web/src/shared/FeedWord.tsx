import { CircleDashed, Clock, RefreshCw, WifiOff } from 'lucide-react';
import type { ReactNode } from 'react';
import type { FeedView, Freshness } from './feed-state';
import { age } from './format';

const ICON: Record<Exclude<Freshness, 'live'>, ReactNode> = {
  connecting: <RefreshCw size={12} strokeWidth={2} aria-hidden />,
  stale: <Clock size={12} strokeWidth={2} aria-hidden />,
  reconnecting: <RefreshCw size={12} strokeWidth={2} aria-hidden />,
  offline: <WifiOff size={12} strokeWidth={2} aria-hidden />,
  idle: <CircleDashed size={12} strokeWidth={2} aria-hidden />,
  unknown: <span className="dot hollow" aria-hidden />,
};

/** `live`, `stale 14 s`, `attempt 3 in 4 s`, `offline`: the one wording of a feed's state. */
export function feedWord(view: FeedView, now_ms: number): string {
  switch (view.freshness) {
    case 'stale':
      return view.since_ms ? `stale ${age(now_ms - view.since_ms)}` : 'stale';
    case 'reconnecting': {
      const wait_ms = view.next_try_ms - now_ms;
      if (view.attempt === 0) return 'reconnecting';
      return wait_ms > 0
        ? `attempt ${view.attempt} in ${age(Math.max(1000, wait_ms))}`
        : `attempt ${view.attempt}`;
    }
    case 'idle':
      return 'not collecting';
    case 'unknown':
      return 'not known';
    default:
      return view.freshness;
  }
}

export function FeedMark({ freshness }: { freshness: Freshness }) {
  return freshness === 'live' ? <span className="dot" aria-hidden /> : ICON[freshness];
}

export function FeedWord(props: { view: FeedView; now_ms: number; name?: string }) {
  const { view, now_ms, name } = props;
  const live = view.freshness === 'live';
  const word = feedWord(view, now_ms);
  if (name && view.freshness === 'unknown') {
    return (
      <span className="state state-unknown">
        <FeedMark freshness="unknown" />
        {name}
        <span className="hidden">{word}</span>
      </span>
    );
  }
  return (
    <span className={`state state-${view.freshness}`}>
      <FeedMark freshness={view.freshness} />
      <span className={live ? 'secondary' : undefined}>
        {name ? (live ? name : `${name} ${word}`) : word}
      </span>
    </span>
  );
}
