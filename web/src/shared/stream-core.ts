// The stream client without its socket: text and times in, text to send and changes out. No clock, no randomness, no I/O, so
// that every test is a replay. stream-worker.ts gives it a WebSocket; stream.ts is what the screens use.

import { Book, type BookView } from './book';
import { comparePosition, type Position } from './position';
import type {
  Channel,
  DataMessage,
  ErrorMessage,
  FeedState,
  GapMessage,
  QuotesMessage,
  ServerMessage,
  StatusMessage,
  TradeRow,
} from './stream-message';

export interface SubscriptionRequest {
  instruments: string[];
  venues?: string[];
  channels: Channel[];
  /** Book levels per side. */
  depth?: number;
  /** Last position already held, per venue: what comes after it is sent. */
  from?: Record<string, Position>;
}

/** `stale`: the socket is open and silent. `signed_out`: the bridge wants a session first. */
export type ConnectionState = 'connecting' | 'live' | 'stale' | 'reconnecting' | 'offline' | 'signed_out';

export interface Connection {
  state: ConnectionState;
  /** Tries since the last good connection. */
  attempt: number;
  /** When the next try starts, ms since the epoch; 0 when none is planned. */
  next_try_ms: number;
  /** When the last message came, ms since the epoch by this machine's clock; 0 before the first. */
  last_message_ms: number;
  /** Clock of the platform minus this machine's, ms. */
  clock_offset_ms: number;
}

export interface VenueFeed {
  state: FeedState;
  messages_per_s: number;
  epoch: number;
  sequence: number;
  /** When the venue's sequence was last seen to move while it was live, ms by this machine's clock; 0 when it was not. */
  moved_ms: number;
}

export interface StreamTrade extends TradeRow {
  instrument: string;
  venue: string;
  epoch: number;
}

export interface StreamGap {
  /** Null: the whole venue. */
  instrument: string | null;
  venue: string;
  channel: string;
  cause: string;
  edge: 'open' | 'end';
  ts_event: string;
  missing: number;
  gap: [epoch: number, sequence: number];
  /** `venue`: the venue's stream has a hole. `stream`: the way to this screen had one. */
  origin: 'venue' | 'stream';
}

/** Why the bridge did not take a subscription. */
export interface Refusal {
  code: string;
  message: string;
  hint: string | null;
}

export interface Update {
  /** Counts the resumes asked for: trades of an update with an older count were sent before the resume and come again. */
  generation: number;
  /**
   * Where what is sent begins, per venue, when that is not where this subscription left off: at its start, or when the
   * platform no longer had the position asked for. A resume that is whole says nothing.
   */
  start: Record<string, Position> | null;
  trades: StreamTrade[];
  quotes: Record<string, Pick<QuotesMessage, 'bid' | 'ask' | 'ts_event' | 'ts_recv'>>;
  books: Record<string, BookView>;
  /** Close of the newest one-second bar per instrument. */
  closes: Record<string, { close: string; start: string }>;
  statuses: Pick<StatusMessage, 'instrument' | 'venue' | 'channel' | 'code' | 'ts_recv'>[];
  gaps: StreamGap[];
  /** Trades were left out because the screen took none for long: whoever adds them up must read history again. */
  overflow: boolean;
  /** The journal is another one, of a home made anew: what was sent before this update is of a past that is gone. */
  anew: boolean;
  /** A subscription that was refused is asked for again by itself. Null: it has been taken after all. Undefined: no news. */
  error: Refusal | null | undefined;
}

export interface Batch {
  connection: Connection;
  venues: Record<string, VenueFeed>;
  updates: [id: number, update: Update][];
  /** Messages received since the last batch. */
  messages: number;
}

export type Effect =
  | { kind: 'send'; text: string }
  /** Close the socket now; reconnect by `opened`/`closed` as usual. */
  | { kind: 'close' };

/** Trades kept for a screen that takes none (a hidden tab): beyond it they are dropped and `overflow` is set. */
export const PENDING_TRADES = 20_000;
/** The bridge sends a heartbeat each second. */
const STALE_MS = 3_000;
const DEAD_MS = 8_000;
/** A socket that has no hello by then leads to nobody, or to somebody else. */
const HELLO_MS = 10_000;
/** An instrument or a venue that was wished a moment ago may be known to the bridge a moment later. */
const RETRY_MS = 2_000;
const DEFAULT_DEPTH = 20;

interface Subscription {
  request: SubscriptionRequest;
  /** Last position received, per venue. */
  positions: Map<string, Position>;
  /** Last sequence received in this connection, per venue; null before the first message. */
  chain: Map<string, number | null>;
  books: Map<string, Book>;
  dirtyBooks: Set<string>;
  /** Venues whose hole is being filled by a resume. */
  healing: Map<string, StreamGap>;
  /** True once the bridge has answered the newest subscribe. */
  confirmed: boolean;
  /** Messages that still belong to the subscription before the newest subscribe are left out until it is answered. */
  awaiting: number;
  /** The bridge did not take the subscribe before the newest one. */
  refused: boolean;
  /** When that is asked for again, ms by this machine's clock; null when nothing is to be. */
  retry_ms: number | null;
  update: Update;
}

const emptyUpdate = (generation: number): Update => ({
  generation,
  start: null,
  trades: [],
  quotes: {},
  books: {},
  closes: {},
  statuses: [],
  gaps: [],
  overflow: false,
  anew: false,
  error: undefined,
});

const isEmpty = (update: Update): boolean =>
  update.start === null &&
  update.trades.length === 0 &&
  update.statuses.length === 0 &&
  update.gaps.length === 0 &&
  !update.overflow &&
  !update.anew &&
  update.error === undefined &&
  Object.keys(update.quotes).length === 0 &&
  Object.keys(update.books).length === 0 &&
  Object.keys(update.closes).length === 0;

const positionOf = ([epoch, sequence]: [number, number]): Position => ({ epoch, sequence });

export class StreamCore {
  private readonly subscriptions = new Map<number, Subscription>();
  private readonly venues = new Map<string, VenueFeed>();
  private connection: Connection = {
    state: 'connecting',
    attempt: 0,
    next_try_ms: 0,
    last_message_ms: 0,
    clock_offset_ms: 0,
  };
  private ready = false;
  /** Since when a socket is there without a hello, ms by this machine's clock; null when none is waited for. */
  private waiting_ms: number | null = null;
  private dirty = true;
  private messages = 0;

  subscribe(id: number, request: SubscriptionRequest): Effect[] {
    const subscription: Subscription = {
      request,
      positions: new Map(Object.entries(request.from ?? {})),
      chain: new Map(),
      books: new Map(),
      dirtyBooks: new Set(),
      healing: new Map(),
      confirmed: false,
      awaiting: 0,
      refused: false,
      retry_ms: null,
      update: emptyUpdate(0),
    };
    this.subscriptions.set(id, subscription);
    return this.ready ? [this.subscribeEffect(id, subscription)] : [];
  }

  unsubscribe(id: number): Effect[] {
    if (!this.subscriptions.delete(id) || !this.ready) return [];
    return [{ kind: 'send', text: JSON.stringify({ op: 'unsubscribe', id }) }];
  }

  /** Starts a subscription again from an earlier position: what comes after it is sent once more, exactly. */
  resume(id: number, from: Record<string, Position>, generation: number): Effect[] {
    const subscription = this.subscriptions.get(id);
    if (!subscription) return [];
    for (const [venue, position] of Object.entries(from)) subscription.positions.set(venue, position);
    // What waits for the page comes again after the resume, in order.
    subscription.update = { ...subscription.update, generation, trades: [], start: null, overflow: false };
    return this.ready ? this.restart(id, subscription) : [];
  }

  connecting(attempt: number, now_ms: number): void {
    this.waiting_ms = now_ms;
    this.set({ state: attempt === 0 ? 'connecting' : 'reconnecting', attempt, next_try_ms: 0 });
  }

  opened(now_ms: number): void {
    this.set({ last_message_ms: now_ms });
  }

  /** The socket is gone. Books held are no longer known to be right. */
  closed(next: { attempt: number; next_try_ms: number; online: boolean }): void {
    this.ready = false;
    this.waiting_ms = null;
    for (const subscription of this.subscriptions.values()) {
      subscription.confirmed = false;
      subscription.awaiting = 0;
      subscription.retry_ms = null;
      this.forgetBooks(subscription);
    }
    if (this.connection.state === 'signed_out') return;
    this.set({
      state: next.online ? 'reconnecting' : 'offline',
      attempt: next.attempt,
      next_try_ms: next.next_try_ms,
    });
  }

  signedOut(): void {
    this.set({ state: 'signed_out', next_try_ms: 0 });
  }

  /** Silence is noticed by the clock: dims the screen first, then closes the socket. What was refused is asked for again. */
  tick(now_ms: number): Effect[] {
    if (!this.ready) {
      const late = this.waiting_ms !== null && now_ms - this.waiting_ms > HELLO_MS;
      return late ? [{ kind: 'close' }] : [];
    }
    const silent_ms = now_ms - this.connection.last_message_ms;
    if (silent_ms > DEAD_MS) return [{ kind: 'close' }];
    if (silent_ms > STALE_MS && this.connection.state === 'live') this.set({ state: 'stale' });
    return [...this.subscriptions]
      .filter(([, { retry_ms }]) => retry_ms !== null && retry_ms <= now_ms)
      .map(([id, subscription]) => this.subscribeEffect(id, subscription));
  }

  /** Throws a SyntaxError on text that is not JSON. */
  message(text: string, now_ms: number): Effect[] {
    const message = JSON.parse(text) as ServerMessage;
    this.messages += 1;
    this.connection.last_message_ms = now_ms;
    if (this.connection.state === 'stale') this.set({ state: 'live' });
    switch (message.type) {
      case 'hello':
        return this.hello(message.venues);
      case 'subscribed': {
        const subscription = this.subscriptions.get(message.id);
        if (!subscription) return [];
        subscription.awaiting = Math.max(0, subscription.awaiting - 1);
        if (subscription.awaiting === 0) this.confirm(subscription, message.from);
        return [];
      }
      case 'heartbeat':
        this.heartbeat(message.ts, message.venues, now_ms);
        return [];
      case 'error':
        return this.error(message, now_ms);
      case 'cut':
        return [{ kind: 'close' }];
      case 'trades':
      case 'quotes':
      case 'book':
      case 'bars':
      case 'status':
      case 'gap':
        return this.data(message);
      default:
        return []; // A newer bridge may say more.
    }
  }

  /** Everything that changed since the last call, or null. */
  drain(): Batch | null {
    const updates: [number, Update][] = [];
    for (const [id, subscription] of this.subscriptions) {
      for (const instrument of subscription.dirtyBooks) {
        const view = subscription.books.get(instrument)?.view(subscription.request.depth ?? DEFAULT_DEPTH);
        if (view) subscription.update.books[instrument] = view;
      }
      subscription.dirtyBooks.clear();
      if (isEmpty(subscription.update)) continue;
      updates.push([id, subscription.update]);
      subscription.update = emptyUpdate(subscription.update.generation);
    }
    if (!this.dirty && updates.length === 0) return null;
    const messages = this.messages;
    this.messages = 0;
    this.dirty = false;
    return {
      connection: { ...this.connection },
      venues: Object.fromEntries([...this.venues].map(([name, venue]) => [name, { ...venue }])),
      updates,
      messages,
    };
  }

  private set(change: Partial<Connection>): void {
    this.connection = { ...this.connection, ...change };
    this.dirty = true;
  }

  private hello(venues: Record<string, { epoch: number; sequence: number }>): Effect[] {
    this.ready = true;
    this.waiting_ms = null;
    for (const [name, { epoch, sequence }] of Object.entries(venues)) {
      const known = this.venues.get(name);
      this.venues.set(name, {
        state: known?.state ?? 'connecting',
        messages_per_s: known?.messages_per_s ?? 0,
        epoch,
        sequence,
        moved_ms: known?.moved_ms ?? 0,
      });
    }
    this.set({ state: 'live', attempt: 0, next_try_ms: 0 });
    return [...this.subscriptions].map(([id, subscription]) => this.subscribeEffect(id, subscription));
  }

  private subscribeEffect(id: number, subscription: Subscription): Effect {
    const { instruments, venues, channels, depth } = subscription.request;
    const from = [...subscription.positions].map(([venue, p]) => [venue, [p.epoch, p.sequence]]);
    subscription.chain.clear();
    subscription.confirmed = false;
    subscription.awaiting += 1;
    subscription.retry_ms = null;
    return {
      kind: 'send',
      text: JSON.stringify({
        op: 'subscribe',
        id,
        instruments,
        venues: venues ?? [],
        channels,
        depth: depth ?? DEFAULT_DEPTH,
        ...(from.length > 0 ? { from: Object.fromEntries(from) } : {}),
      }),
    };
  }

  private restart(id: number, subscription: Subscription): Effect[] {
    this.forgetBooks(subscription);
    return [
      { kind: 'send', text: JSON.stringify({ op: 'unsubscribe', id }) },
      this.subscribeEffect(id, subscription),
    ];
  }

  private forgetBooks(subscription: Subscription): void {
    for (const [instrument, book] of subscription.books) {
      book.clear();
      subscription.dirtyBooks.add(instrument);
    }
  }

  private confirm(subscription: Subscription, from: Record<string, [number, number]>): void {
    subscription.confirmed = true;
    if (subscription.refused) subscription.update.error = null;
    subscription.refused = false;
    const start: Record<string, Position> = {};
    for (const [venue, pair] of Object.entries(from)) {
      const position = positionOf(pair);
      const asked = subscription.positions.get(venue);
      const whole = asked !== undefined && comparePosition(position, asked) <= 0;
      if (!whole) start[venue] = position;
      subscription.positions.set(venue, position);
      const hole = subscription.healing.get(venue);
      subscription.healing.delete(venue);
      if (hole && whole) subscription.update.gaps.push({ ...hole, edge: 'end' });
    }
    if (Object.keys(start).length > 0) subscription.update.start = { ...subscription.update.start, ...start };
  }

  private heartbeat(
    ts: string,
    venues: Record<string, { epoch: number; sequence: number; state: FeedState; messages_per_s: number }>,
    now_ms: number,
  ): void {
    for (const [name, venue] of Object.entries(venues)) {
      const known = this.venues.get(name);
      // What a collector without its venue records is its own trouble, no news from the venue.
      const moved = venue.state === 'live' && known !== undefined && known.sequence !== venue.sequence;
      this.venues.set(name, { ...venue, moved_ms: moved ? now_ms : (known?.moved_ms ?? 0) });
    }
    for (const name of this.venues.keys()) if (!(name in venues)) this.venues.delete(name);
    this.set({ clock_offset_ms: Number(BigInt(ts) / 1_000_000n) - now_ms });
  }

  private error(message: ErrorMessage, now_ms: number): Effect[] {
    if (message.category === 'auth') {
      this.signedOut();
      return [{ kind: 'close' }];
    }
    const subscription = message.id === undefined ? undefined : this.subscriptions.get(message.id);
    // The unsubscribe before a new subscribe has nothing to end where the old one was refused.
    if (!subscription || message.id === undefined || message.code === 'subscription_unknown') return [];
    subscription.awaiting = Math.max(0, subscription.awaiting - 1);
    if (subscription.awaiting > 0) return [];
    if (message.code === 'position_foreign') {
      subscription.positions.clear();
      subscription.update = { ...subscription.update, anew: true, trades: [] };
      return [this.subscribeEffect(message.id, subscription)];
    }
    subscription.refused = true;
    subscription.retry_ms = now_ms + RETRY_MS;
    subscription.update.error = {
      code: message.code,
      message: message.message,
      hint: message.hint ?? null,
    };
    return [];
  }

  private data(message: DataMessage): Effect[] {
    const subscription = this.subscriptions.get(message.id);
    if (!subscription?.confirmed) return [];
    const last = subscription.chain.get(message.venue) ?? null;
    if (message.prev !== last) return this.hole(message, subscription, last);
    subscription.chain.set(message.venue, message.sequence);
    const position = { epoch: message.epoch, sequence: message.sequence };
    const held = subscription.positions.get(message.venue);
    if (!held || comparePosition(held, position) < 0) subscription.positions.set(message.venue, position);
    this.apply(message, subscription);
    return [];
  }

  /** A message is missing on the way: say so, and ask again from the last position held. */
  private hole(message: DataMessage, subscription: Subscription, last: number | null): Effect[] {
    const held = subscription.positions.get(message.venue);
    if (!subscription.healing.has(message.venue)) {
      const gap: StreamGap = {
        instrument: null,
        venue: message.venue,
        channel: 'all',
        cause: 'hole',
        edge: 'open',
        ts_event: 'ts_event' in message ? message.ts_event : '0',
        missing: -1,
        gap: [held?.epoch ?? message.epoch, held?.sequence ?? last ?? 0],
        origin: 'stream',
      };
      subscription.healing.set(message.venue, gap);
      subscription.update.gaps.push(gap);
    }
    return this.restart(message.id, subscription);
  }

  private apply(message: DataMessage, subscription: Subscription): void {
    const { update, books, dirtyBooks } = subscription;
    const instrument = message.instrument || null;
    switch (message.type) {
      case 'trades':
        if (!instrument) return;
        if (update.trades.length + message.rows.length > PENDING_TRADES) {
          update.trades = [];
          update.overflow = true;
        }
        for (const row of message.rows) {
          update.trades.push({ ...row, instrument, venue: message.venue, epoch: message.epoch });
        }
        return;
      case 'quotes':
        if (!instrument) return;
        update.quotes[instrument] = {
          bid: message.bid,
          ask: message.ask,
          ts_event: message.ts_event,
          ts_recv: message.ts_recv,
        };
        return;
      case 'book': {
        if (!instrument) return;
        let book = books.get(instrument);
        if (!book) {
          book = new Book();
          books.set(instrument, book);
        }
        book.apply(message);
        dirtyBooks.add(instrument);
        return;
      }
      case 'bars':
        if (instrument) update.closes[instrument] = { close: message.close, start: message.start };
        return;
      case 'status':
        if (message.code === 'invalid') {
          for (const [name, book] of books) {
            if (instrument !== null && name !== instrument) continue;
            book.invalidate();
            dirtyBooks.add(name);
          }
        }
        update.statuses.push({
          instrument,
          venue: message.venue,
          channel: message.channel,
          code: message.code,
          ts_recv: message.ts_recv,
        });
        return;
      case 'gap':
        update.gaps.push(venueGap(message, instrument));
    }
  }
}

function venueGap(message: GapMessage, instrument: string | null): StreamGap {
  return {
    instrument,
    venue: message.venue,
    channel: message.channel,
    cause: message.cause,
    edge: message.edge,
    ts_event: message.ts_event,
    missing: message.missing,
    gap: message.gap,
    origin: 'venue',
  };
}

/** Full jitter: uniform between 0 and min(cap, base x 2^attempt). `random` is in [0, 1). */
export function backoff_ms(attempt: number, random: number, base_ms = 500, cap_ms = 15_000): number {
  return Math.floor(random * Math.min(cap_ms, base_ms * 2 ** Math.min(attempt, 20)));
}
