// Values of one indicator on one chart: history from REST, older pages as the bars before them are read, and what closes and
// moves from /ws/indicators. Nothing is computed here: what is drawn is what the platform says.

import { ApiError, api } from '@/api/client';
import type { CalculateAsk, CalculatedSeries, IndicatorOutput } from '@/api/types';
import { onRevised } from '@/shared/events';
import type { Added } from './indicator';
import { type IndicatorSocket, indicatorSocket, type Values } from './indicator-socket';

const PAGE = 5_000;
/** As the bars: a late trade rarely comes alone. */
const RELOAD_MS = 2_000;
const RETRY_MS = 5_000;

export type FeedPhase = 'loading' | 'ready' | 'error';

type Calculate = (body: CalculateAsk, signal: AbortSignal) => Promise<CalculatedSeries>;

export class IndicatorFeed {
  outputs: IndicatorOutput[] = [];
  /** Starts of bars, seconds, ascending; the last may be of the bar that is open. */
  times: number[] = [];
  /** By output, as long as `times`. */
  columns: Record<string, (number | null)[]> = {};
  phase: FeedPhase = 'loading';
  error: string | null = null;
  /** Goes up with every change. */
  version = 0;
  readonly added: Pick<Added, 'name' | 'params'>;
  private readonly place: { instrument: string; interval: string };
  private readonly listener: () => void;
  private readonly calculate: Calculate;
  private readonly socket: IndicatorSocket;
  private readonly abort = new AbortController();
  private readonly forget: () => void;
  private leave: (() => void) | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Start of the last closed bar, ns. */
  private through: string | null = null;
  /** Where one that remembers everything began, ns: older pages and what moves must begin there too. */
  private since: string | undefined;
  private whole = false;
  private reading = false;
  /** Values are wanted back to here, seconds. */
  private wanted_s = Number.POSITIVE_INFINITY;

  constructor(
    place: { instrument: string; interval: string },
    added: Pick<Added, 'name' | 'params'>,
    listener: () => void,
    calculate: Calculate = api.calculate,
    socket: IndicatorSocket = indicatorSocket,
  ) {
    this.place = place;
    this.added = added;
    this.listener = listener;
    this.calculate = calculate;
    this.socket = socket;
    this.forget = onRevised((instrument) => {
      if (instrument === place.instrument) this.again(RELOAD_MS);
    });
    void this.load();
  }

  close(): void {
    this.abort.abort();
    clearTimeout(this.timer);
    this.forget();
    this.leave?.();
  }

  /** Values are wanted back to this bar, too. */
  reach(start_s: number): void {
    this.wanted_s = Math.min(this.wanted_s, start_s);
    void this.readOlder();
  }

  /** Values of the bar that starts at `start_s`; null where there are none. */
  at(start_s: number): Values | null {
    const index = place(this.times, start_s);
    if (this.times[index] !== start_s) return null;
    return this.row(index);
  }

  /** Of the newest bar. */
  get newest(): Values | null {
    return this.times.length > 0 ? this.row(this.times.length - 1) : null;
  }

  private row(index: number): Values {
    return Object.fromEntries(this.outputs.map(({ name }) => [name, this.columns[name]?.[index] ?? null]));
  }

  private again(delay_ms: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.load();
    }, delay_ms);
  }

  private async load(): Promise<void> {
    try {
      const page = await this.read({});
      const said = page.indicators[0];
      if (!said) return;
      this.outputs = said.outputs;
      this.times = page.ts.map(seconds);
      this.columns = said.values;
      this.through = page.ts.at(-1) ?? null;
      this.since = said.memory === 'whole' ? (said.began ?? undefined) : undefined;
      this.whole = page.next === null;
      if (page.current && said.current) this.put(page.current, said.current);
      this.phase = 'ready';
      this.error = null;
      this.follow();
      this.tell();
      void this.readOlder();
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error);
    if (this.phase === 'loading') this.phase = 'error';
    if (!(error instanceof ApiError) || error.body.retryable) this.again(RETRY_MS);
    this.tell();
  }

  private follow(): void {
    if (this.leave) return;
    const { name, params } = this.added;
    this.leave = this.socket.subscribe(
      { ...this.place, indicator: name, params, ...(this.since ? { since: this.since } : {}) },
      {
        from: () => this.through ?? undefined,
        snapshot: (ts, values) => {
          const first = ts[0];
          if (first === undefined) return;
          const keep = place(this.times, seconds(first));
          this.times = [...this.times.slice(0, keep), ...ts.map(seconds)];
          for (const { name: output } of this.outputs) {
            this.columns[output] = [
              ...(this.columns[output] ?? []).slice(0, keep),
              ...(values[output] ?? ts.map(() => null)),
            ];
          }
          this.through = ts.at(-1) ?? this.through;
          this.tell();
        },
        value: (ts, values, closed) => {
          this.put(ts, values);
          if (closed) this.through = ts;
          this.tell();
        },
        error: (_code, message) => {
          this.error = message;
          this.tell();
        },
      },
    );
  }

  private put(ts: string, values: Values): void {
    const at_s = seconds(ts);
    const index = place(this.times, at_s);
    const known = this.times[index] === at_s;
    this.times.splice(index, known ? 1 : 0, at_s);
    for (const { name } of this.outputs) {
      this.columns[name] ??= [];
      this.columns[name]?.splice(index, known ? 1 : 0, values[name] ?? null);
    }
    this.error = null;
  }

  private async readOlder(): Promise<void> {
    const oldest = this.times[0];
    if (this.reading || this.whole || this.phase !== 'ready' || oldest === undefined) return;
    if (oldest <= this.wanted_s || this.wanted_s === Number.POSITIVE_INFINITY) return;
    this.reading = true;
    try {
      const page = await this.read({
        end: String(BigInt(oldest) * 1_000_000_000n),
        ...(this.since ? { since: this.since } : {}),
      });
      const said = page.indicators[0];
      const every = page.ts.map(seconds);
      const count = place(every, oldest);
      const times = every.slice(0, count);
      // Somebody may have loaded everything anew meanwhile.
      if (this.times[0] === oldest && said) {
        this.times = [...times, ...this.times];
        for (const { name } of this.outputs)
          this.columns[name] = [...(said.values[name] ?? []).slice(0, count), ...(this.columns[name] ?? [])];
        this.whole = page.next === null || count === 0;
        this.tell();
      }
      this.reading = false;
      void this.readOlder();
    } catch (error) {
      this.reading = false;
      if (!this.abort.signal.aborted) this.fail(error);
    }
  }

  private read(more: Partial<CalculateAsk>): Promise<CalculatedSeries> {
    const { name, params } = this.added;
    return this.calculate(
      { ...this.place, indicator: name, params, limit: PAGE, ...more },
      this.abort.signal,
    );
  }

  private tell(): void {
    this.version += 1;
    this.listener();
  }
}

const seconds = (ns: string): number => Number(BigInt(ns) / 1_000_000_000n);

/** Index of the first time that is `at` or later. */
function place(times: number[], at: number): number {
  const last = times.at(-1);
  if (last === undefined || last < at) return times.length;
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
