// One word for how fresh what is shown is, from the connection, the venue's feed and the instrument's own status.

import type { Connection, VenueFeed } from './stream-core';

/** `unknown`: whoever would say so is silent. `idle`: nobody wants it. */
export type Freshness = 'connecting' | 'live' | 'stale' | 'reconnecting' | 'offline' | 'idle' | 'unknown';

export interface FeedView {
  freshness: Freshness;
  /** When the last news came, ms since the epoch; 0 where it is live or not known. */
  since_ms: number;
  /** Who is the cause: this page's connection or the venue. */
  origin: 'page' | 'venue';
  attempt: number;
  /** When the next try starts, ms; 0 when none is planned. */
  next_try_ms: number;
  /** From the venue's clock to our socket, median, ns; only where it is live and said. */
  lag_ns?: number | null;
}

const VENUE: Record<string, Freshness> = {
  live: 'live',
  connecting: 'connecting',
  starting: 'connecting',
  stale: 'stale',
  reconnecting: 'reconnecting',
  closed: 'offline',
  failed: 'offline',
  idle: 'idle',
  draining: 'idle',
};

/** The page's own connection comes first: without it nothing is known of the venue. */
export function feedView(
  connection: Connection,
  venue: VenueFeed | undefined,
  /** When the venue's last message came, ms, as collection says. */
  last_message_ms?: number,
  status?: string,
): FeedView {
  const page = connection.state;
  if (page !== 'live') {
    return {
      freshness: page === 'signed_out' ? 'offline' : page,
      since_ms: connection.last_message_ms,
      origin: 'page',
      attempt: connection.attempt,
      next_try_ms: connection.next_try_ms,
    };
  }
  const own = VENUE[venue?.state ?? 'connecting'] ?? 'connecting';
  const freshness = own === 'live' && status !== undefined ? (VENUE[status] ?? own) : own;
  return {
    freshness,
    since_ms: freshness === 'live' ? 0 : Math.max(venue?.moved_ms ?? 0, last_message_ms ?? 0),
    origin: 'venue',
    attempt: 0,
    next_try_ms: 0,
  };
}

/** A number of this freshness may still be coloured as a rise or a fall. */
export const isCurrent = (view: FeedView): boolean => view.freshness === 'live';
