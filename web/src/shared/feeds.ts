// Freshness of venues as the screens show it: what the stream says, with the time of the last message as collection knows it.

import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { api } from '@/api/client';
import type { CollectionStatus, PartTime } from '@/api/types';
import { type FeedView, feedView } from './feed-state';
import { msOfNs } from './format';
import { useConfig } from './queries';
import { useFeed } from './stream';
import type { Connection, VenueFeed } from './stream-core';

export interface NamedFeed {
  venue: string;
  view: FeedView;
}

/** What collection knows of a venue and the stream does not. */
interface Known {
  /** Last message, ms since the epoch; 0 when there was none. */
  last_ms: number;
  wanted: boolean;
  attempt: number;
  /** When it is tried again, ms since the epoch; 0 when no try is planned. */
  next_try_ms: number;
  lag_ns: number | null;
}

const NONE: Record<string, Known> = {};
const POLL_MS = 5_000;
/** While a feed is in trouble its next try counts down on screen. */
const TROUBLE_POLL_MS = 1_000;

const moment_ms = (ns: PartTime | undefined): number =>
  typeof ns === 'string' ? msOfNs(ns) : (ns ?? 0) / 1e6;

function known({ collectors }: CollectionStatus): Record<string, Known> {
  return Object.fromEntries(
    collectors.map((collector) => [
      collector.venue,
      {
        wanted: collector.wanted,
        last_ms: moment_ms(collector.last_message_ns),
        attempt: collector.attempt ?? 0,
        next_try_ms: moment_ms(collector.next_try_ns),
        lag_ns: collector.lag_p50_ns ?? null,
      },
    ]),
  );
}

/** A page that was opened during a silence has not seen when it began, nor whether it is wished: collection has. */
function useKnown(): Record<string, Known> {
  const { data } = useQuery({
    queryKey: ['collection'],
    queryFn: () => api.collection(),
    refetchInterval: ({ state }) =>
      state.data?.collectors.some(({ wanted, state }) => wanted && state !== 'live')
        ? TROUBLE_POLL_MS
        : POLL_MS,
    select: known,
  });
  return data ?? NONE;
}

/** What the stream says of a venue, and what only collection knows of it. */
export function venueView(
  connection: Connection,
  feed: VenueFeed | undefined,
  own: Known | undefined,
  status?: string,
): FeedView {
  const seen = feedView(connection, feed, own?.last_ms, status);
  if (!own || seen.origin === 'page') return seen;
  if (!own.wanted) return { ...seen, freshness: 'idle' };
  if (seen.freshness === 'live') return { ...seen, lag_ns: own.lag_ns };
  return { ...seen, attempt: own.attempt, next_try_ms: own.next_try_ms };
}

/** State of every venue this platform knows: those that were configured and those the stream names. */
export function useFeeds(): NamedFeed[] {
  const connection = useFeed((feed) => feed.connection);
  const venues = useFeed((feed) => feed.venues);
  const configured = useConfig().data?.venues;
  const own = useKnown();
  return useMemo(() => {
    const names = [...new Set([...(configured ?? []), ...Object.keys(venues)])].sort();
    return names.map((venue) => ({ venue, view: venueView(connection, venues[venue], own[venue]) }));
  }, [connection, venues, configured, own]);
}

/** The same for one venue; `status` is the newest word about the instrument itself. */
export function useVenueFeed(venue: string, status?: string): FeedView {
  const connection = useFeed((feed) => feed.connection);
  const feed = useFeed(({ venues }) => venues[venue]);
  const own = useKnown()[venue];
  return useMemo(() => venueView(connection, feed, own, status), [connection, feed, own, status]);
}
