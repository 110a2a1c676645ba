// What the stream says about one instrument, as a store that panels read and a chart listens to.

import { useEffect, useMemo, useSyncExternalStore } from 'react';
import { api } from '@/api/client';
import type { Tick } from '@/api/types';
import type { BookView } from './book';
import { Pace } from './pace';
import { comparePosition, type Position } from './position';
import { type Subscription, stream } from './stream';
import type { Refusal, StreamGap, StreamTrade, Update } from './stream-core';
import type { PriceSize } from './stream-message';

/** Trades kept for the tape. */
const TAPE = 200;
/** Trades read from history, so that the tape of a quiet instrument does not begin empty. */
const TAPE_FIRST = 60;
const RATE_WINDOW_MS = 10_000;

export interface Quote {
  bid: PriceSize | null;
  ask: PriceSize | null;
}

export interface MarketView {
  /** Newest first. */
  tape: StreamTrade[];
  book: BookView | null;
  /** When the book stopped being valid, ns; null while it is. */
  invalid_since: string | null;
  quote: Quote | null;
  /** Newest status code of this instrument's trades, or of all its channels. */
  status: string | undefined;
  /** Why nothing comes: the subscription was refused. */
  error: Refusal | null;
}

/** What a chart needs besides the view: every trade in order, and what breaks that promise. */
export interface MarketListener {
  /** Trades begin after this position, which is not where they left off. */
  start(position: Position): void;
  trades(trades: StreamTrade[]): void;
  gap(gap: StreamGap): void;
  /** Trades are missing here: read history again. */
  overflow(): void;
}

/** Where a chart gets its trades. */
export interface TradeSource {
  readonly instrument: string;
  /** Every trade up to here was sent; the next ones follow without a hole. Null while the beginning is not known. */
  readonly position: Position | null;
  listen(listener: MarketListener): () => void;
  /** Every trade after `position` once more, in order; nothing that was sent before comes after this call. */
  resume(position: Position): void;
}

const EMPTY: MarketView = {
  tape: [],
  book: null,
  invalid_since: null,
  quote: null,
  status: undefined,
  error: null,
};

/** What is traded, as its name says it without the venue: `BTC-USD`, `BRK.B`. */
export const pairOf = ({ instrument }: { instrument: string }): string =>
  instrument.slice(0, instrument.lastIndexOf('.'));

export const venueOf = (instrument: string): string => instrument.slice(instrument.lastIndexOf('.') + 1);

export class Market implements TradeSource {
  readonly instrument: string;
  readonly venue: string;
  private view: MarketView = EMPTY;
  private readonly watchers = new Set<() => void>();
  private readonly told = new Pace(() => {
    for (const watcher of this.watchers) watcher();
  });
  private readonly listeners = new Set<MarketListener>();
  private subscription: Subscription | null = null;
  private sent: Position | null = null;
  private newest: Position | null = null;
  private generation = 0;
  private arrivals_ms: number[] = [];

  constructor(instrument: string) {
    this.instrument = instrument;
    this.venue = venueOf(instrument);
  }

  open(): () => void {
    this.subscription = stream.subscribe(
      {
        instruments: [this.instrument],
        channels: ['trades', 'quotes', 'book', 'status'],
        depth: 25,
      },
      (update) => this.take(update),
    );
    this.generation = 0;
    this.sent = null;
    return () => {
      this.subscription?.close();
      this.subscription = null;
      this.told.stop();
    };
  }

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  readonly read = (): MarketView => this.view;

  listen(listener: MarketListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get position(): Position | null {
    return this.sent;
  }

  resume(position: Position): void {
    this.sent = position;
    this.generation += 1;
    this.subscription?.resume({ [this.venue]: position }, this.generation);
  }

  /** Older trades from history, for a tape that would begin empty. */
  seed(ticks: Tick[]): void {
    const oldest = this.view.tape.at(-1);
    const older = ticks
      .filter((tick) => !oldest || comparePosition(tick, oldest) < 0)
      .map((tick): StreamTrade => ({ ...tick, instrument: this.instrument, venue: this.venue }))
      .sort((a, b) => comparePosition(b, a));
    const tape = [...this.view.tape, ...older].slice(0, TAPE);
    this.newest = tape[0] ? { epoch: tape[0].epoch, sequence: tape[0].sequence } : null;
    this.set({ tape });
  }

  private set(change: Partial<MarketView>): void {
    this.view = { ...this.view, ...change };
    this.told.ask();
  }

  private take(update: Update): void {
    const change: Partial<MarketView> = {};
    // Trades of an update from before a resume come again. A listener may ask for that while it hears of this very update:
    // what is left of it must not reach anyone then, or what lies between would pass for counted.
    const current = () => update.generation === this.generation;
    if (update.anew) {
      // Its positions do not compare with those of the journal before.
      this.newest = null;
      change.tape = [];
    }
    const started = update.start?.[this.venue];
    if (started && current()) {
      this.sent = started;
      for (const listener of this.listeners) listener.start(started);
    }
    if (update.overflow && current()) for (const listener of this.listeners) listener.overflow();
    if (update.trades.length > 0 && current()) {
      const last = update.trades.at(-1);
      if (last) this.sent = { epoch: last.epoch, sequence: last.sequence };
      for (const listener of this.listeners) listener.trades(update.trades);
      this.addToTape(update.trades, change);
    }
    const book = update.books[this.instrument];
    if (book) {
      change.book = book;
      if (book.state === 'valid') change.invalid_since = null;
      else if (book.state === 'invalid') change.invalid_since = this.view.invalid_since ?? book.ts_recv;
    }
    const quote = update.quotes[this.instrument];
    if (quote) change.quote = quote;
    for (const status of update.statuses) {
      if (status.code === 'invalid') change.invalid_since = status.ts_recv;
      else if (status.channel === 'trades' || status.channel === 'all') change.status = status.code;
    }
    for (const gap of update.gaps) for (const listener of this.listeners) listener.gap(gap);
    if (update.error !== undefined) change.error = update.error;
    this.set(change);
  }

  /** A resume sends trades again that the tape has: only newer ones are added. */
  private addToTape(trades: StreamTrade[], change: Partial<MarketView>): void {
    const now_ms = Date.now();
    const newest = this.newest;
    const fresh = newest ? trades.filter((trade) => comparePosition(trade, newest) > 0) : trades;
    const last = fresh.at(-1);
    if (!last) return;
    this.newest = { epoch: last.epoch, sequence: last.sequence };
    change.tape = [...fresh.slice(-TAPE).reverse(), ...(change.tape ?? this.view.tape)].slice(0, TAPE);
    this.arrivals_ms.push(...fresh.map(() => now_ms));
  }

  /** Trades per second over the last ten seconds. */
  rate(now_ms: number): number {
    this.arrivals_ms = this.arrivals_ms.filter((ms) => ms > now_ms - RATE_WINDOW_MS);
    return (this.arrivals_ms.length * 1000) / RATE_WINDOW_MS;
  }
}

/** The market of an instrument, subscribed while the component is shown. */
export function useMarket(instrument: string): Market {
  const market = useMemo(() => new Market(instrument), [instrument]);
  useEffect(() => {
    const close = market.open();
    const abort = new AbortController();
    api
      .ticks(instrument, TAPE_FIRST, abort.signal)
      .then(({ items }) => market.seed(items ?? []))
      .catch(() => undefined); // The tape then begins with the first streamed trade.
    return () => {
      abort.abort();
      close();
    };
  }, [market, instrument]);
  return market;
}

export const useMarketView = (market: Market): MarketView => useSyncExternalStore(market.watch, market.read);

/** Only the status: renders again when it changes, not with every trade. */
export const useMarketStatus = (market: Market): string | undefined =>
  useSyncExternalStore(market.watch, () => market.read().status);

/** Only why nothing comes, if so. */
export const useMarketError = (market: Market): Refusal | null =>
  useSyncExternalStore(market.watch, () => market.read().error);
