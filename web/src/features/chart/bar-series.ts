// Bars of one instrument and interval: history from REST, then every trade after exactly the position that history names.
// Sums are exact; a trade is counted once, however often it is sent. Open and close are the first and last trade by (venue's
// time, sequence), as the platform builds its bars, so a late trade ends in the same bar here and there.

import type { Bars, OpenBar } from '@/api/types';
import { mantissaAt, mantissaOfNumber, parseDecimal, power10 } from '@/shared/decimal';
import { barStart, type Interval } from '@/shared/interval';
import { comparePosition, type Position } from '@/shared/position';
import type { StreamTrade } from '@/shared/stream-core';

export interface Bar {
  /** Seconds since the epoch, UTC. */
  start: number;
  /** Mantissas at the series' price scale. */
  open: bigint;
  high: bigint;
  low: bigint;
  close: bigint;
  /** Mantissa at the series' size scale. */
  volume: bigint;
  trades: number;
  /** Venue's times of the first and last trade, ns; null where the bar came from history, which does not say. */
  first: bigint | null;
  last: bigint | null;
}

type Trade = Pick<StreamTrade, 'epoch' | 'sequence' | 'ts_event' | 'price' | 'size' | 'irregular'>;

/** Trades kept to be applied to a page of history that is still on its way. */
const RECENT = 20_000;

export class BarSeries {
  readonly interval: Interval;
  /** Ascending by start. */
  bars: Bar[] = [];
  priceScale: number;
  sizeScale: number;
  /** Every trade up to here is in the bars; null before history came. */
  applied: Position | null = null;
  /** A late trade met a bar whose times are not known: history must be read again to have its open and close right. */
  uncertain = false;
  /** Newest trades as they came, without a hole after `recentAfter`: history may have been built before them. */
  private recent: Trade[] = [];
  private recentAfter: Position | null = null;

  constructor(interval: Interval, priceScale: number, sizeScale: number) {
    this.interval = interval;
    this.priceScale = priceScale;
    this.sizeScale = sizeScale;
  }

  /** Trades come without a hole from here on. */
  begin(after: Position): void {
    this.recent = [];
    this.recentAfter = after;
  }

  /**
   * Replaces everything by a page of the newest bars and applies the trades that came after it. False: trades between the page
   * and those are missing, and must be sent again from `applied` on.
   */
  load(page: Bars): boolean {
    this.uncertain = false;
    this.bars = this.read(page);
    if (page.current) {
      const open = this.readOpen(page.current);
      while ((this.bars.at(-1)?.start ?? -1) >= open.start) this.bars.pop();
      this.bars.push(open);
    }
    this.applied = page.through ?? this.recentAfter ?? { epoch: 0, sequence: 0 };
    if (this.recentAfter && comparePosition(this.recentAfter, this.applied) > 0) return false;
    for (const trade of this.recent) this.apply(trade);
    return true;
  }

  /** Puts a page of older bars before the others; returns how many were new. */
  prepend(page: Bars): number {
    const oldest = this.bars[0]?.start ?? Number.POSITIVE_INFINITY;
    const older = this.read(page).filter((bar) => bar.start < oldest);
    this.bars = [...older, ...this.bars];
    return older.length;
  }

  /** Index of the bar that changed, or -1 when the trade was already counted or waits for history. */
  trade(trade: Trade): number {
    this.recent.push(trade);
    if (this.recent.length > RECENT) {
      const dropped = this.recent.splice(0, RECENT / 2).at(-1);
      if (dropped) this.recentAfter = { epoch: dropped.epoch, sequence: dropped.sequence };
    }
    return this.apply(trade);
  }

  private apply(trade: Trade): number {
    if (!this.applied || comparePosition(trade, this.applied) <= 0) return -1;
    this.applied = { epoch: trade.epoch, sequence: trade.sequence };
    if (trade.irregular) return -1;
    const price = this.price(trade.price);
    const size = this.size(trade.size);
    const at = BigInt(trade.ts_event);
    const start = barStart(at, this.interval);
    const index = this.place(start);
    const bar = this.bars[index];
    if (bar?.start !== start) {
      this.bars.splice(index, 0, {
        start,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: size,
        trades: 1,
        first: at,
        last: at,
      });
      return index;
    }
    const late = bar.last === null ? index < this.bars.length - 1 : at < bar.last;
    const early = bar.first !== null && at < bar.first;
    if (late && bar.first === null) this.uncertain = true;
    this.bars[index] = {
      start,
      open: early ? price : bar.open,
      high: price > bar.high ? price : bar.high,
      low: price < bar.low ? price : bar.low,
      close: late ? bar.close : price,
      volume: bar.volume + size,
      trades: bar.trades + 1,
      first: early ? at : bar.first,
      last: late ? bar.last : at,
    };
    return index;
  }

  /** Index of the first bar that starts at `start` or later. */
  place(start: number): number {
    const last = this.bars.at(-1);
    if (!last || last.start < start) return this.bars.length;
    let low = 0;
    let high = this.bars.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.bars[middle]?.start ?? 0) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A venue may begin to print finer prices: bars then move to the finer scale. */
  private price(text: string): bigint {
    const value = parseDecimal(text);
    if (value.scale > this.priceScale) {
      const factor = power10(value.scale - this.priceScale);
      this.priceScale = value.scale;
      for (const bar of this.bars) {
        bar.open *= factor;
        bar.high *= factor;
        bar.low *= factor;
        bar.close *= factor;
      }
    }
    return mantissaAt(value, this.priceScale);
  }

  private size(text: string): bigint {
    const value = parseDecimal(text);
    if (value.scale > this.sizeScale) {
      const factor = power10(value.scale - this.sizeScale);
      this.sizeScale = value.scale;
      for (const bar of this.bars) bar.volume *= factor;
    }
    return mantissaAt(value, this.sizeScale);
  }

  private readOpen(bar: OpenBar): Bar {
    return {
      start: Number(BigInt(bar.ts) / 1_000_000_000n),
      open: this.price(String(bar.open)),
      high: this.price(String(bar.high)),
      low: this.price(String(bar.low)),
      close: this.price(String(bar.close)),
      volume: this.size(String(bar.volume)),
      trades: bar.trades,
      first: null,
      last: null,
    };
  }

  private read(page: Bars): Bar[] {
    const bars: Bar[] = [];
    const price = (value: number): bigint => this.column(value, this.priceScale) ?? this.price(String(value));
    const size = (value: number): bigint => this.column(value, this.sizeScale) ?? this.size(String(value));
    for (let i = 0; i < page.ts.length; i++) {
      const [open, high, low, close] = [page.open[i], page.high[i], page.low[i], page.close[i]];
      // An interval without a trade has no prices: there is no bar to draw.
      if (open == null || high == null || low == null || close == null) continue;
      bars.push({
        start: Number(BigInt(page.ts[i] ?? '0') / 1_000_000_000n),
        open: price(open),
        high: price(high),
        low: price(low),
        close: price(close),
        volume: size(page.volume[i] ?? 0),
        trades: page.trades[i] ?? 0,
        first: null,
        last: null,
      });
    }
    return bars;
  }

  /** Null when the number has more places than the scale. */
  private column(value: number, scale: number): bigint | null {
    try {
      return mantissaOfNumber(value, scale);
    } catch {
      return null;
    }
  }
}
