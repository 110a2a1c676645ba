// Joins history and stream for one chart: subscribe first, read history, then apply exactly the trades after the position that
// history was built through. Where the stream began later than that, it is asked to go back.

import { ApiError, api } from '@/api/client';
import type { Bars, ErrorBody } from '@/api/types';
import { onRevised } from '@/shared/events';
import type { Interval } from '@/shared/interval';
import type { MarketListener, TradeSource } from '@/shared/market';
import { comparePosition, type Position } from '@/shared/position';
import type { StreamGap, StreamTrade } from '@/shared/stream-core';
import { BarSeries } from './bar-series';
import { type ChartGap, gapsOfBars, mergeGaps, withStreamGap } from './gap';

/** Bars of the first answer and of every older page. */
const PAGE = 5000;
/** Bars kept on screen at most; beyond it older pages are not read. */
const MOST = 100_000;
const RELOAD_MS = 2_000;

export type FeedChange =
  /** Everything may differ: draw anew. */
  | { kind: 'all' }
  /** Older bars came before the first. */
  | { kind: 'older'; count: number }
  /** Bars from this index on changed or are new. */
  | { kind: 'bars'; from: number }
  | { kind: 'gaps' };

export interface FeedStatus {
  phase: 'loading' | 'ready' | 'error';
  error: ErrorBody | null;
  loadingOlder: boolean;
  /** No older bars exist. */
  whole: boolean;
}

type Listener = (change: FeedChange | null, status: FeedStatus) => void;

export class BarFeed implements MarketListener {
  readonly series: BarSeries;
  gaps: ChartGap[] = [];
  status: FeedStatus = { phase: 'loading', error: null, loadingOlder: false, whole: false };
  private readonly market: TradeSource;
  private readonly listener: Listener;
  private readonly abort = new AbortController();
  private readonly leave: () => void;
  private readonly forget: () => void;
  private reloading: ReturnType<typeof setTimeout> | undefined;
  /** The last position that was asked for again. */
  private asked: Position | null = null;

  constructor(
    market: TradeSource,
    interval: Interval,
    scales: { price: number; size: number },
    listener: Listener,
  ) {
    this.market = market;
    this.series = new BarSeries(interval, scales.price, scales.size);
    this.listener = listener;
    this.leave = market.listen(this);
    this.forget = onRevised((revised) => {
      if (revised === this.instrument && this.reloading === undefined) this.reload();
    });
    if (market.position) this.series.begin(market.position);
    void this.load();
  }

  get instrument(): string {
    return this.market.instrument;
  }

  close(): void {
    clearTimeout(this.reloading);
    this.leave();
    this.forget();
    this.abort.abort();
  }

  start(position: Position): void {
    this.series.begin(position);
    const { applied } = this.series;
    if (!applied || comparePosition(position, applied) <= 0) return;
    // What lies between is asked for once; where the platform no longer has it, history is the only way.
    if (this.asked && comparePosition(this.asked, applied) === 0) this.reload();
    else this.resume(applied);
  }

  trades(trades: StreamTrade[]): void {
    let from = Number.POSITIVE_INFINITY;
    for (const trade of trades) {
      const index = this.series.trade(trade);
      if (index >= 0 && index < from) from = index;
    }
    if (from !== Number.POSITIVE_INFINITY) this.tell({ kind: 'bars', from });
    if (this.series.uncertain && this.reloading === undefined) this.reload();
  }

  gap(gap: StreamGap): void {
    const gaps = withStreamGap(this.gaps, gap);
    if (gaps === this.gaps) return;
    this.gaps = gaps;
    this.tell({ kind: 'gaps' });
  }

  overflow(): void {
    const { applied } = this.series;
    if (applied) this.resume(applied);
  }

  /** Reads the newest bars again, soon: several causes at once make one request. */
  reload(delay_ms = RELOAD_MS): void {
    clearTimeout(this.reloading);
    this.reloading = setTimeout(() => {
      this.reloading = undefined;
      void this.load();
    }, delay_ms);
  }

  async older(): Promise<void> {
    const { loadingOlder, whole, phase } = this.status;
    const oldest = this.series.bars[0];
    if (loadingOlder || whole || phase !== 'ready' || !oldest || this.series.bars.length >= MOST) return;
    this.set({ loadingOlder: true });
    try {
      const page = await this.read({ end: String(BigInt(oldest.start) * 1_000_000_000n) });
      const count = this.series.prepend(page);
      this.gaps = mergeGaps(this.gaps, gapsOfBars(page.gaps));
      this.set({ loadingOlder: false, whole: count === 0 || page.next === null });
      if (count > 0) this.tell({ kind: 'older', count });
    } catch (error) {
      if (!this.abort.signal.aborted) this.set({ loadingOlder: false, error: bodyOf(error) });
    }
  }

  private resume(position: Position): void {
    this.asked = position;
    this.series.begin(position);
    this.market.resume(position);
  }

  private async load(): Promise<void> {
    try {
      const page = await this.read({});
      const joined = this.series.load(page);
      this.gaps = mergeGaps(gapsOfBars(page.gaps), this.gaps);
      this.set({ phase: 'ready', error: null, whole: page.next === null });
      this.tell({ kind: 'all' });
      if (!joined && this.series.applied) this.resume(this.series.applied);
    } catch (error) {
      if (this.abort.signal.aborted) return;
      const body = bodyOf(error);
      this.set({ phase: this.series.applied ? 'ready' : 'error', error: body });
      if (body.retryable) this.reload(5_000);
    }
  }

  private read(query: { end?: string }): Promise<Bars> {
    return api.bars(
      this.market.instrument,
      { interval: this.series.interval, limit: PAGE, ...query },
      this.abort.signal,
    );
  }

  private set(change: Partial<FeedStatus>): void {
    this.status = { ...this.status, ...change };
    this.tell(null);
  }

  private tell(change: FeedChange | null): void {
    this.listener(change, this.status);
  }
}

function bodyOf(error: unknown): ErrorBody {
  if (error instanceof ApiError) return error.body;
  return {
    code: 'page.unexpected',
    category: 'internal',
    message: error instanceof Error ? error.message : String(error),
    hint: 'Reload the page.',
    retryable: false,
    docs: 'docs/errors.md#internal',
    request_id: null,
  };
}
