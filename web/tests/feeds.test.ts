import { describe, expect, it } from 'vitest';
import { feedWord } from '@/shared/FeedWord';
import { venueView } from '@/shared/feeds';
import type { Connection, VenueFeed } from '@/shared/stream-core';

const CONNECTION: Connection = {
  state: 'live',
  attempt: 0,
  next_try_ms: 0,
  last_message_ms: 1_000,
  clock_offset_ms: 0,
};
const KNOWN = { last_ms: 4_000, wanted: true, attempt: 3, next_try_ms: 14_000, lag_ns: 67_000_000 };
const feed = (state: string): VenueFeed => ({ state, messages_per_s: 1, epoch: 1, sequence: 1, moved_ms: 0 });

describe('what collection adds to the stream', () => {
  it('the next try of a venue counts down', () => {
    const view = venueView(CONNECTION, feed('reconnecting'), KNOWN);
    expect(feedWord(view, 10_000)).toMatch(/^attempt 3 in 4.s$/);
    expect(view.since_ms).toBe(4_000);
  });

  it('the lag of a live venue, and of no other', () => {
    expect(venueView(CONNECTION, feed('live'), KNOWN).lag_ns).toBe(67_000_000);
    expect(venueView(CONNECTION, feed('stale'), KNOWN).lag_ns).toBeUndefined();
  });

  it('a venue nobody wants is not in trouble', () => {
    expect(venueView(CONNECTION, feed('stale'), { ...KNOWN, wanted: false }).freshness).toBe('idle');
  });

  it('says nothing of a venue while the page itself is cut off', () => {
    const cut: Connection = { ...CONNECTION, state: 'reconnecting', attempt: 1 };
    expect(venueView(cut, feed('live'), KNOWN)).toMatchObject({ origin: 'page', attempt: 1 });
  });
});
