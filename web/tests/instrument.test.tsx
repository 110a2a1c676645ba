// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, render, screen } from '@testing-library/react';
import { afterEach, expect, it, vi } from 'vitest';
import type { Instrument } from '@/api/types';
import { InstrumentList } from '@/features/instrument/InstrumentList';
import type { FeedView, Freshness } from '@/shared/feed-state';

const feed = vi.hoisted(() => ({ view: {} as FeedView }));
vi.mock('@/shared/stream', () => ({ stream: { subscribe: () => ({ close: () => undefined }) } }));
vi.mock('@/shared/feeds', () => ({ useFeeds: () => [{ venue: 'sim-kraken', view: feed.view }] }));
vi.mock('@/api/client', () => ({ api: { bars: () => new Promise(() => undefined) } }));

afterEach(cleanup);

function list(freshness: Freshness, price_scale = 1): string {
  feed.view = { freshness, since_ms: Date.now() - 14_500, origin: 'page', attempt: 0, next_try_ms: 0 };
  const instrument = {
    instrument: 'BTC-USD.sim-kraken',
    venue: 'sim-kraken',
    base: 'BTC',
    quote: 'USD',
    price_scale,
    last: { price: '64231.5' },
  } as Instrument;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <InstrumentList
        instruments={[instrument]}
        selected={instrument.instrument}
        select={() => undefined}
        search={() => undefined}
      />
    </QueryClientProvider>,
  );
  return screen.getByRole('row', { name: /BTC-USD/ }).textContent ?? '';
}

it('a price of a feed that is stale has its age', () => {
  expect(list('stale')).toMatch(/^BTC-USD64,231\.5\d+.sold$/);
});

it('a page that only just connects calls no price old', () => {
  expect(list('connecting')).toBe('BTC-USD64,231.5\u2014');
});
