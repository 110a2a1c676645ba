// Freshness of venues as the screens show it: what the stream says, with the time of the last message as collection knows it.

import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { api } from '@/api/client';
import type { CollectionStatus } from '@/api/types';
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
}

const NONE: Record<string, Known> = {};

function known({ collectors }: CollectionStatus): Record<string, Known> {
  return Object.fromEntries(
    collectors.map(({ venue, wanted, last_message_ns }) => {
      const last_ms =
        typeof last_message_ns === 'string' ? msOfNs(last_message_ns) : (last_message_ns ?? 0) / 1e6;
      return [venue, { wanted, last_ms }];
    }),
  );
}

/** A page that was opened during a silence has not seen when it began, nor whether it is wished: collection has. */
function useKnown(): Record<string, Known> {
  const { data } = useQuery({
    queryKey: ['collection'],
    queryFn: () => api.collection(),
    refetchInterval: 5_000,
    select: known,
  });
  return data ?? NONE;
}

function view(
  connection: Connection,
  feed: VenueFeed | undefined,
  own: Known | undefined,
  status?: string,
): FeedView {
  const seen = feedView(connection, feed, own?.last_ms, status);
  return own?.wanted === false && seen.origin === 'venue' ? { ...seen, freshness: 'idle' } : seen;
}

/** State of every venue this platform knows: those that were configured and those the stream names. */
export function useFeeds(): NamedFeed[] {
  const connection = useFeed((feed) => feed.connection);
  const venues = useFeed((feed) => feed.venues);
  const configured = useConfig().data?.venues;
  const own = useKnown();
  return useMemo(() => {
    const names = [...new Set([...(configured ?? []), ...Object.keys(venues)])].sort();
    return names.map((venue) => ({ venue, view: view(connection, venues[venue], own[venue]) }));
  }, [connection, venues, configured, own]);
}

/** The same for one venue; `status` is the newest word about the instrument itself. */
export function useVenueFeed(venue: string, status?: string): FeedView {
  const connection = useFeed((feed) => feed.connection);
  const feed = useFeed(({ venues }) => venues[venue]);
  const own = useKnown()[venue];
  return useMemo(() => view(connection, feed, own, status), [connection, feed, own, status]);
}
