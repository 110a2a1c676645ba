// The drawn chart: candles, volume in a pane of its own, gap hatch, last price. No data of its own: it shows a BarFeed.

import {
  CandlestickSeries,
  createChart,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  type TickMarkType,
  type UTCTimestamp,
  type WhitespaceData,
} from 'lightweight-charts';
import { toNumber } from '@/shared/decimal';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { age, clock, mantissaText, number } from '@/shared/format';
import { type Interval, intervalSeconds } from '@/shared/interval';
import * as chartTheme from '@/theme/chart';
import { type Colors, colors, type Mode, type Palette, upDown } from '@/theme/themes';
import { crosshairText, tickText } from './axis-time';
import type { BarFeed, FeedChange } from './bar-feed';
import { placesFor } from './bar-place';
import type { Bar } from './bar-series';
import { GapHatch } from './gap-hatch';
import { emptyPlaces, hatchRanges, lowerBound, nextEmptyPlace } from './gap-place';
import { IndicatorLayer, type Shown } from './indicator-layer';
import { PaneLabel } from './pane-label';
import { PriceAxis } from './price-axis';

export interface ChartLook {
  mode: Mode;
  palette: Palette;
  hollow: boolean;
  zone: string;
  /** Narrow screens get a narrower price axis. */
  phone: boolean;
}

/** Bars left of the screen at which the next older page is read. */
const PREFETCH = 400;

export interface ChartEvents {
  crosshair(bar: Bar | null): void;
  older(): void;
}

const time = (seconds: number): UTCTimestamp => seconds as UTCTimestamp;

export class ChartView {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<'Candlestick'>;
  private readonly volume: ISeriesApi<'Histogram'>;
  private readonly hatches = [new GapHatch(true), new GapHatch(false)];
  private readonly priceAxis = new PriceAxis();
  private readonly volumeLabel = new PaneLabel();
  private readonly indicators: IndicatorLayer;
  private readonly events: ChartEvents;
  private feed: BarFeed | null = null;
  private look: ChartLook;
  private c: Colors;
  private view: FeedView | null = null;
  /** Times on the axis, ascending: of bars and of empty places inside gaps. */
  private times: number[] = [];
  private cursor: number | null = null;
  private removed = false;
  private pointed: Bar | null = null;
  private base = '';
  /** The screen's own second: every age on it is counted from the same moment. */
  private now_ms = Date.now();

  constructor(element: HTMLElement, look: ChartLook, events: ChartEvents) {
    this.look = look;
    this.c = colors(look.mode);
    this.events = events;
    this.chart = createChart(element, { autoSize: true });
    this.candles = this.chart.addSeries(CandlestickSeries, {
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.volume = this.chart.addSeries(
      HistogramSeries,
      { lastValueVisible: false, priceLineVisible: false, priceFormat: { type: 'volume' } },
      1,
    );
    this.indicators = new IndicatorLayer(this.chart, this.c, look.palette);
    this.candles.attachPrimitive(this.hatches[0] as GapHatch);
    this.volume.attachPrimitive(this.hatches[1] as GapHatch);
    this.candles.attachPrimitive(this.priceAxis);
    this.volume.attachPrimitive(this.volumeLabel);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < PREFETCH && this.times.length > 0) this.events.older();
    });
    this.chart.subscribeCrosshairMove((parameter) => {
      this.priceAxis.point(parameter.paneIndex === 0 ? (parameter.point?.y ?? null) : null);
      const at = parameter.time as number | undefined;
      this.point(at === undefined ? null : this.barAt(at));
    });
    this.setLook(look);
    // The canvas measures text when it paints: without this it keeps the fallback face.
    void document.fonts.ready.then(() => this.removed || this.setLook(this.look));
  }

  remove(): void {
    this.removed = true;
    this.chart.remove();
  }

  setLook(look: ChartLook): void {
    this.look = look;
    this.c = colors(look.mode);
    const base = chartTheme.chart(look.mode);
    this.chart.applyOptions({
      ...base,
      rightPriceScale: { ...base.rightPriceScale, minimumWidth: look.phone ? 58 : 66, tickMarkDensity: 4 },
      timeScale: {
        ...base.timeScale,
        timeVisible: true,
        secondsVisible: true,
        tickMarkFormatter: (at: number, kind: TickMarkType) => this.tickText(at, kind),
        barSpacing: this.chart.timeScale().options().barSpacing,
      },
      localization: {
        locale: 'en-GB',
        timeFormatter: (at: number) => crosshairText(at, this.interval, this.look.zone),
      },
      kineticScroll: { mouse: false, touch: !matchMedia('(prefers-reduced-motion: reduce)').matches },
    });
    const [pricePane, volumePane] = this.chart.panes();
    const share = look.phone ? 0.2 : 0.13; // the phone's pane must hold the label and the library's mark
    pricePane?.setStretchFactor(1 - share);
    volumePane?.setStretchFactor(share);
    this.priceAxis.setLook({
      surface: this.c['bg.panel'],
      fill: this.c['bg.overlay'],
      line: this.c['line.strong'],
      ink: this.c['text.primary'],
    });
    this.candles.applyOptions(chartTheme.candles(look.mode, look.palette, look.hollow));
    this.indicators.setLook(this.c, look.palette);
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0 }, ticksVisible: false });
    this.render(false);
  }

  /** `base` is what volume counts. */
  show(feed: BarFeed, base: string): void {
    this.feed = feed;
    this.base = base;
    this.pointed = null;
    const { priceScale } = feed.series;
    this.indicators.setBars(priceScale, intervalSeconds(feed.series.interval));
    this.candles.applyOptions({
      priceFormat: {
        type: 'custom',
        minMove: 10 ** -priceScale,
        formatter: (value: number) => number(value, feed.series.priceScale),
        tickmarksFormatter: (values: number[]) => {
          this.priceAxis.setTicks(values);
          return values.map((value) => number(value, feed.series.priceScale));
        },
      },
    });
    this.volume.applyOptions({
      priceFormat: { type: 'custom', minMove: 10 ** -8, formatter: () => '' },
    });
    this.render(true);
  }

  clear(): void {
    this.feed = null;
    this.pointed = null;
    this.times = [];
    this.candles.setData([]);
    this.volume.setData([]);
    this.indicators.clear();
    this.priceAxis.setLast(null);
    this.volumeLabel.set(null);
    for (const hatch of this.hatches) hatch.set([]);
  }

  /** Which indicators are drawn, and what is new in them. */
  setIndicators(shown: Shown[]): void {
    this.indicators.set(shown);
    this.indicators.label(this.pointed?.start ?? null);
  }

  change(change: FeedChange): void {
    if (!this.feed) return;
    if (change.kind === 'all' || change.kind === 'gaps') this.render(false);
    else if (change.kind === 'older') this.renderOlder();
    else this.update(change.from);
  }

  setFeedView(view: FeedView): void {
    this.view = view;
    this.drawLast();
  }

  /** Once a second: count-down, age, and the far edge of an open gap. */
  second(now_ms: number): void {
    this.now_ms = now_ms;
    this.extendOpenGap();
    this.drawLast();
  }

  reset(): void {
    this.showNewest();
    this.chart.clearCrosshairPosition();
    this.cursor = null;
    this.point(null);
  }

  zoom(factor: number): void {
    const scale = this.chart.timeScale();
    const spacing = Math.min(80, Math.max(0.5, scale.options().barSpacing * factor));
    scale.applyOptions({ barSpacing: spacing });
  }

  /** Moves the crosshair by bars, from the last bar at first. */
  moveCursor(bars: number): void {
    const all = this.feed?.series.bars ?? [];
    if (all.length === 0) return;
    const from = this.cursor === null ? -1 : this.placeOf(this.cursor);
    const index = from < 0 ? all.length - 1 : Math.min(all.length - 1, Math.max(0, from + bars));
    const bar = all[index];
    if (!bar || !this.feed) return;
    this.cursor = bar.start;
    this.chart.setCrosshairPosition(
      toNumber(bar.close, this.feed.series.priceScale),
      time(bar.start),
      this.candles,
    );
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const at = this.times.indexOf(bar.start);
    if (range && (at < range.from || at > range.to)) {
      const width = range.to - range.from;
      const start = at < range.from ? at - 2 : at - width + 2;
      this.chart.timeScale().setVisibleLogicalRange({ from: start, to: start + width });
    }
    this.point(bar);
  }

  picture(): HTMLCanvasElement {
    return this.chart.takeScreenshot();
  }

  private point(bar: Bar | null): void {
    this.pointed = bar;
    this.labelVolume();
    this.indicators.label(bar?.start ?? null);
    this.events.crosshair(bar);
  }

  private labelVolume(): void {
    const { feed, c } = this;
    const bar = this.pointed ?? feed?.series.bars.at(-1);
    if (!feed || !bar) return;
    this.volumeLabel.set({
      name: 'Volume',
      value: `${mantissaText(bar.volume, feed.series.sizeScale)} ${this.base}`,
      nameColor: c['text.tertiary'],
      valueColor: c['text.secondary'],
      surface: c['bg.panel'],
    });
  }

  private placeOf(start: number): number {
    return this.feed?.series.place(start) ?? -1;
  }

  private barAt(start: number): Bar | null {
    const bar = this.feed?.series.bars[this.placeOf(start)];
    return bar?.start === start ? bar : null;
  }

  private candle(bar: Bar) {
    const scale = this.feed?.series.priceScale ?? 0;
    return {
      time: time(bar.start),
      open: toNumber(bar.open, scale),
      high: toNumber(bar.high, scale),
      low: toNumber(bar.low, scale),
      close: toNumber(bar.close, scale),
    };
  }

  private volumeBar(bar: Bar) {
    const [up, down] = upDown(this.c, this.look.palette);
    return {
      time: time(bar.start),
      value: toNumber(bar.volume, this.feed?.series.sizeScale ?? 0),
      color: `${bar.close >= bar.open ? up : down}61`, // 38 % opaque
    };
  }

  private render(first: boolean): void {
    if (!this.feed) return;
    const { bars } = this.feed.series;
    const first_s = bars[0]?.start ?? Number.POSITIVE_INFINITY;
    const empty = emptyPlaces(this.feed.gaps, first_s, intervalSeconds(this.interval), Date.now());
    const points = new Map<number, Bar | null>(empty.map((at) => [at, null]));
    for (const bar of bars) points.set(bar.start, bar);
    const ordered = [...points].sort((a, b) => a[0] - b[0]);
    this.times = ordered.map(([at]) => at);
    this.candles.setData(ordered.map(([at, bar]) => (bar ? this.candle(bar) : blank(at))));
    this.volume.setData(ordered.map(([at, bar]) => (bar ? this.volumeBar(bar) : blank(at))));
    if (first) this.showNewest();
    this.placeHatch();
    this.drawLast();
  }

  private showNewest(): void {
    const last = this.times.length;
    if (last === 0) return;
    const scale = this.chart.timeScale();
    this.chart.priceScale('right').applyOptions({ autoScale: true });
    scale.setVisibleLogicalRange({ from: last - placesFor(scale.width(), last), to: last + 4 });
  }

  /** Keeps what is on screen where it is while older bars slip in on the left. */
  private renderOlder(): void {
    const before = this.times.length;
    const range = this.chart.timeScale().getVisibleLogicalRange();
    this.render(false);
    const added = this.times.length - before;
    if (range) {
      this.chart.timeScale().setVisibleLogicalRange({ from: range.from + added, to: range.to + added });
    }
  }

  private update(from: number): void {
    if (!this.feed) return;
    const { bars } = this.feed.series;
    const last = this.times.at(-1) ?? Number.NEGATIVE_INFINITY;
    for (let i = from; i < bars.length; i++) {
      const bar = bars[i];
      if (!bar) continue;
      if (bar.start > last) this.times.push(bar.start);
      else if (bar.start < last && this.times[lowerBound(this.times, bar.start)] !== bar.start) {
        this.render(false); // A late trade began a bar between others.
        return;
      }
      const historical = bar.start < last;
      this.candles.update(this.candle(bar), historical);
      this.volume.update(this.volumeBar(bar), historical);
    }
    if (this.feed.gaps.length > 0) this.placeHatch();
    this.drawLast();
  }

  private extendOpenGap(): void {
    const { feed, now_ms } = this;
    if (!feed) return;
    const at = nextEmptyPlace(feed.gaps, this.times.at(-1) ?? 0, intervalSeconds(this.interval), now_ms);
    if (at !== null) {
      this.times.push(at);
      this.candles.update(blank(at));
      this.volume.update(blank(at));
    }
    if (feed.gaps.length > 0) this.placeHatch();
  }

  private placeHatch(): void {
    const ranges = hatchRanges(
      this.feed?.gaps ?? [],
      this.times,
      intervalSeconds(this.interval),
      Date.now(),
      { colors: this.c, zone: this.look.zone },
    );
    for (const hatch of this.hatches) hatch.set(ranges);
  }

  private get interval(): Interval {
    return this.feed?.series.interval ?? '1m';
  }

  private tickText(at: number, kind: TickMarkType): string {
    return tickText(at, kind, this.interval, this.look.zone, this.chart.timeScale().options().barSpacing);
  }

  private drawLast(): void {
    this.labelVolume();
    const { feed, c, now_ms } = this;
    const bar = feed?.series.bars.at(-1);
    if (!feed || !bar) {
      this.priceAxis.setLast(null);
      return;
    }
    const { priceScale, interval } = feed.series;
    const [up, down] = upDown(c, this.look.palette);
    const current = !this.view || isCurrent(this.view);
    const since_ms = this.view?.since_ms ?? 0;
    const left_s = bar.start + intervalSeconds(interval) - Math.floor(now_ms / 1000);
    const stale = since_ms > 0 ? `${age(now_ms - since_ms)} old` : '';
    this.priceAxis.setLast({
      price: toNumber(bar.close, priceScale),
      text: mantissaText(bar.close, priceScale),
      note: current ? (interval === '1s' || left_s < 0 ? '' : clock(left_s)) : stale,
      fill: current ? (bar.close >= bar.open ? up : down) : c['state.stale'],
      ink: current ? (this.look.mode === 'dark' ? c['bg.app'] : c['text.onSolid']) : c['state.stale.tint'],
      outlined: !current,
    });
  }
}

const blank = (at: number): WhitespaceData<UTCTimestamp> => ({ time: time(at) });
