// Order book of one instrument as the bridge sends it: a snapshot replaces it, deltas set levels absolutely, size 0 removes.

import { compareDecimal, normaliseDecimal, parseDecimal } from './decimal';
import type { BookMessage, PriceSize } from './stream-message';

/** `waiting`: no snapshot yet, or not any more. `invalid`: a check failed; what is held must not be shown as the book. */
export type BookState = 'waiting' | 'valid' | 'invalid';

export interface BookView {
  state: BookState;
  /** Best first. */
  bids: PriceSize[];
  asks: PriceSize[];
  ts_event: string;
  ts_recv: string;
}

const isZero = (size: string): boolean => /^[0.]*$/.test(size);

/** One level per price: 1.10 and 1.1 are the same level. */
function levelKey(price: string): string {
  const { mantissa, scale } = normaliseDecimal(parseDecimal(price));
  return `${mantissa}e${scale}`;
}

class Side {
  private readonly levels = new Map<string, PriceSize>();
  private sorted: PriceSize[] | null = [];
  /** 1 sorts ascending (asks), -1 descending (bids). */
  private readonly direction: 1 | -1;

  constructor(direction: 1 | -1) {
    this.direction = direction;
  }

  clear(): void {
    this.levels.clear();
    this.sorted = [];
  }

  set(level: PriceSize): void {
    const key = levelKey(level[0]);
    if (isZero(level[1])) this.levels.delete(key);
    else this.levels.set(key, level);
    this.sorted = null;
  }

  bestFirst(): PriceSize[] {
    this.sorted ??= [...this.levels.values()]
      .map((level) => ({ level, price: parseDecimal(level[0]) }))
      .sort((a, b) => compareDecimal(a.price, b.price) * this.direction)
      .map(({ level }) => level);
    return this.sorted;
  }
}

export class Book {
  private readonly bids = new Side(-1);
  private readonly asks = new Side(1);
  private state: BookState = 'waiting';
  private ts_event = '0';
  private ts_recv = '0';

  /** A delta before any snapshot has nothing to apply to and is left out. */
  apply(message: BookMessage): void {
    if (message.kind === 'snapshot') {
      this.clear();
      // Nothing was ever received: a venue that has no book, or has not sent it yet.
      if (message.valid === false && message.ts_recv === '0') return;
      this.state = 'valid';
    } else if (this.state === 'waiting') return;
    if (message.valid === false) this.state = 'invalid';
    for (const level of message.bids) this.bids.set(level);
    for (const level of message.asks) this.asks.set(level);
    this.ts_event = message.ts_event;
    this.ts_recv = message.ts_recv;
  }

  /** Only a whole snapshot makes an invalid book valid again; a status alone does not bring levels back. */
  invalidate(): void {
    this.state = 'invalid';
  }

  /** The stream broke off: the levels held may be old. */
  clear(): void {
    this.bids.clear();
    this.asks.clear();
    this.state = 'waiting';
  }

  view(depth: number): BookView {
    return {
      state: this.state,
      bids: this.bids.bestFirst().slice(0, depth),
      asks: this.asks.bestFirst().slice(0, depth),
      ts_event: this.ts_event,
      ts_recv: this.ts_recv,
    };
  }
}
