// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { CollectorStatus, Instrument, LogLine, PartStatus } from '@/api/types';
import { DepthLadder } from '@/features/book/DepthLadder';
import { sparkValues, withWanted } from '@/features/collection/collection';
import { rest, words } from '@/features/collection/LogLines';
import { pipelineNodes } from '@/features/collection/Pipeline';
import { VenueTable } from '@/features/collection/VenueTable';
import { ModeBadge } from '@/features/shell/ModeBadge';
import { matchScore, Palette } from '@/features/shell/Palette';
import { TradesTape } from '@/features/trades/TradesTape';
import type { BookView } from '@/shared/book';
import { staleQueries } from '@/shared/events';
import { feedWord } from '@/shared/FeedWord';
import type { FeedView } from '@/shared/feed-state';
import { feedView } from '@/shared/feed-state';
import type { Market, MarketView } from '@/shared/market';
import type { Connection, VenueFeed } from '@/shared/stream-core';
import { Words } from '@/shared/Words';

afterEach(cleanup);

const LIVE: FeedView = { freshness: 'live', since_ms: 0, origin: 'venue', attempt: 0, next_try_ms: 0 };
const instrument = {
  instrument: 'BTC-USD.sim-kraken',
  venue: 'sim-kraken',
  base: 'BTC',
  quote: 'USD',
  price_scale: 1,
  size_scale: 4,
} as Instrument;

function market(book: BookView | null, error: MarketView['error'] = null): Market {
  const view: MarketView = {
    tape: [],
    book,
    invalid_since: book?.state === 'invalid' ? '1763640187000000000' : null,
    quote: null,
    status: undefined,
    error,
  };
  return { rate: () => 0, watch: () => () => undefined, read: () => view } as unknown as Market;
}

const book = (state: BookView['state']): BookView => ({
  state,
  bids: [['64231.5', '0.1']],
  asks: [['64232.0', '0.2']],
  ts_event: '1',
  ts_recv: '1',
});

describe('depth', () => {
  it('shows levels with exact decimals', () => {
    render(<DepthLadder market={market(book('valid'))} instrument={instrument} view={LIVE} />);
    expect(screen.getByText('64,231.5')).toBeTruthy();
    expect(screen.getByText('0.1000')).toBeTruthy();
    expect(screen.getByText(/^spread 0\.5 · /)).toBeTruthy();
  });

  it('a book that failed its check shows no level, and says so', () => {
    const { container } = render(
      <DepthLadder market={market(book('invalid'))} instrument={instrument} view={LIVE} />,
    );
    expect(container.querySelector('.level')).toBeNull();
    expect(container.textContent).not.toContain('64,231.5');
    expect(screen.getByRole('alert').textContent).toMatch(/not valid.*12:03:07/);
  });

  it('of a venue that was stopped says so, and nothing of a failure', () => {
    const idle: FeedView = { ...LIVE, freshness: 'idle' };
    render(<DepthLadder market={market(book('invalid'))} instrument={instrument} view={idle} />);
    expect(screen.queryByRole('alert')).toBeNull();
    expect(screen.getByText('Not collecting')).toBeTruthy();
    expect(screen.getByText(/^sim-kraken is stopped\./)).toBeTruthy();
  });

  it('a stream that was refused says so instead of waiting in silence', () => {
    const refused = market(null, {
      code: 'instrument_unknown',
      message: 'no instrument named so',
      hint: null,
    });
    render(<DepthLadder market={refused} instrument={instrument} view={LIVE} />);
    expect(screen.getByText(/does not give it: no instrument named so/)).toBeTruthy();
    render(<TradesTape market={refused} instrument={instrument} view={LIVE} />);
    expect(screen.getByText('No instrument named so.')).toBeTruthy();
  });

  it('withdraws direction when the feed is stale', () => {
    const stale: FeedView = { ...LIVE, freshness: 'stale', since_ms: 1 };
    const { container } = render(
      <DepthLadder market={market(book('valid'))} instrument={instrument} view={stale} />,
    );
    expect(container.querySelector('.depth.dim')).toBeTruthy();
  });
});

it('a command in an error’s words looks like what is to be typed', () => {
  const { container } = render(<Words text="start it with `tidemill up`; what is shown may be old" />);
  expect(container.querySelector('code')?.textContent).toBe('tidemill up');
  expect(container.textContent).toBe('Start it with tidemill up; what is shown may be old.');
});

describe('log lines', () => {
  const line = (fields: Record<string, unknown>) =>
    ({ ts: null, level: 'info', part: 'a', ...fields }) as LogLine;

  it('say what happened and why before they list figures', () => {
    const lost = line({
      message: 'connection lost',
      attempt: 5,
      next_try_s: 14.968320377,
      reason: 'it broke off',
    });
    expect(words(lost)).toBe('connection lost: it broke off');
    expect(rest(lost)).toBe('attempt=5 next_try_s=14.968');
  });

  it('do not say a name twice', () => {
    const state = line({ message: 'state', state: 'live' });
    expect([words(state), rest(state)]).toEqual(['state live', '']);
  });
});

describe('feed words', () => {
  const connection: Connection = {
    state: 'live',
    attempt: 0,
    next_try_ms: 0,
    last_message_ms: 1_000,
    clock_offset_ms: 0,
  };
  const venue: VenueFeed = { state: 'live', messages_per_s: 1, epoch: 1, sequence: 1, moved_ms: 5_000 };

  it('live needs both the page and the venue', () => {
    expect(feedView(connection, venue).freshness).toBe('live');
    expect(feedView({ ...connection, state: 'stale' }, venue)).toMatchObject({
      freshness: 'stale',
      origin: 'page',
    });
    expect(feedView(connection, { ...venue, state: 'stale' })).toMatchObject({
      freshness: 'stale',
      since_ms: 5_000,
    });
    expect(feedView(connection, venue, undefined, 'stale').freshness).toBe('stale');
    expect(feedView(connection, undefined).freshness).toBe('connecting');
  });

  it('a silence that began before this page was opened has its true age', () => {
    const view = feedView(connection, { ...venue, state: 'stale', moved_ms: 0 }, 2_000);
    expect(feedWord(view, 16_000)).toMatch(/^stale 14.s$/);
  });

  it('a word of the venue’s own that is new to this page is no claim to be live', () => {
    expect(feedView(connection, { ...venue, state: 'dozing' }).freshness).toBe('connecting');
  });

  it('counts down to the next try', () => {
    const view: FeedView = {
      freshness: 'reconnecting',
      since_ms: 0,
      origin: 'page',
      attempt: 3,
      next_try_ms: 14_000,
    };
    expect(feedWord(view, 10_000)).toMatch(/^attempt 3 in 4.s$/);
    expect(feedWord(view, 15_000)).toBe('attempt 3');
  });
});

it.each(['SIMULATED', 'REPLAY', 'PAPER', 'LIVE'] as const)('the mode badge says %s in words', (mode) => {
  const { container } = render(<ModeBadge mode={mode} />);
  expect(container.textContent).toContain(mode);
  expect(container.querySelector('svg')).toBeTruthy();
});

describe('palette', () => {
  const run = vi.fn();
  const groups = [
    {
      title: 'Instruments',
      items: [
        { id: 'a', title: 'ETH-BTC', detail: 'sim-binance', run: () => run('a') },
        { id: 'b', title: 'BTC-USD', detail: 'sim-kraken', run: () => run('b') },
      ],
    },
  ];
  const palette = (text: string) => (
    <Palette
      open
      text={text}
      placeholder="Find"
      groups={groups}
      empty="Nothing"
      change={() => undefined}
      close={() => undefined}
    />
  );

  it('puts what begins with the words first and runs it by Enter', () => {
    render(palette('btc'));
    fireEvent.keyDown(screen.getByRole('combobox', { hidden: true }), { key: 'Enter' });
    expect(run).toHaveBeenLastCalledWith('b');
  });

  it('moves by arrows', () => {
    render(palette('btc'));
    const field = screen.getByRole('combobox', { hidden: true });
    fireEvent.keyDown(field, { key: 'ArrowDown' });
    fireEvent.keyDown(field, { key: 'Enter' });
    expect(run).toHaveBeenLastCalledWith('a');
  });

  it('says when nothing matches', () => {
    render(palette('doge'));
    expect(screen.getByText('Nothing')).toBeTruthy();
  });

  it('finds by several words in any order', () => {
    expect(matchScore({ title: 'BTC-USD', detail: 'sim-kraken' }, 'kraken btc')).not.toBeNull();
    expect(matchScore({ title: 'BTC-USD', detail: 'sim-kraken' }, 'kraken eth')).toBeNull();
  });
});

const collector = (change: Partial<CollectorStatus>): CollectorStatus =>
  ({
    part: 'collector-kraken',
    venue: 'kraken',
    protocol: 'kraken',
    state: 'live',
    wanted: true,
    instruments: ['BTC-USD.kraken'],
    pid: 1,
    gaps_today: 0,
    cpu_percent: null,
    rss_bytes: null,
    history: [],
    ...change,
  }) as CollectorStatus;

describe('collection', () => {
  it('shows a collector that says nothing without inventing numbers', () => {
    render(
      <VenueTable
        collectors={[collector({ state: 'stopped', wanted: false })]}
        busy={null}
        setWanted={() => undefined}
        showLogs={() => undefined}
      />,
    );
    expect(screen.getByText('not collecting')).toBeTruthy();
    expect(screen.getAllByText('\u2014').length).toBeGreaterThanOrEqual(4);
    expect(screen.getByRole('button', { name: 'Start kraken' })).toBeTruthy();
  });

  it('a start is shown at once and only for its venue', () => {
    const before = {
      collectors: [
        collector({ wanted: false, state: 'idle' }),
        collector({ venue: 'coinbase', wanted: false }),
      ],
      parts: [],
      pipeline: {},
    };
    const after = withWanted(before, 'kraken', true);
    expect(after.collectors.map(({ wanted }) => wanted)).toEqual([true, false]);
    expect(before.collectors[0]?.wanted).toBe(false);
  });

  it('a time without a measurement is not a rate of zero', () => {
    const now_ms = 1_000_000_000;
    const at = (ms: number) => String(BigInt(ms) * 1_000_000n);
    const values = sparkValues(
      [
        { ts: at(now_ms - 1_000), messages_per_s: 5 },
        { ts: at(now_ms - 400_000), messages_per_s: 9 },
      ],
      now_ms,
    );
    expect(values.at(-1)).toBe(5);
    expect(values.filter((value) => value !== null)).toHaveLength(1);
  });

  it('a part that does not answer is named as such', () => {
    const nodes = pipelineNodes({ collectors: [collector({})], parts: [], pipeline: {} }, 0);
    expect(nodes.find(({ name }) => name === 'Bridge')).toMatchObject({
      freshness: 'offline',
      facts: ['does not answer'],
    });
  });

  it.each([
    ['/data/lake', 'Lake'],
    ['postgresql://host/market', 'PostgreSQL'],
    ['arctic://folder', 'ArcticDB'],
  ])('the last step is called what %s is', (store, name) => {
    const recorder = { part: 'recorder', state: 'ok', store } as unknown as PartStatus;
    const nodes = pipelineNodes({ collectors: [], parts: [recorder], pipeline: {} }, 0);
    expect(nodes.at(-1)?.name).toBe(name);
  });

  it('events make the right answers old', () => {
    expect(staleQueries('collector_wanted')).toContain('collection');
    expect(staleQueries('job_progress')).toEqual([]);
  });
});
