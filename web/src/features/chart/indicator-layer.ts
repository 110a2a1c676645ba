// Draws indicators into the chart: over the prices, or each in a pane of its own.

import {
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  type LineData,
  LineSeries,
  LineStyle,
  type SeriesType,
  type UTCTimestamp,
} from 'lightweight-charts';
import type { IndicatorOutput } from '@/api/types';
import { type Colors, type Palette, upDown } from '@/theme/themes';
import { type Added, indicatorLabel, lineColor, valueText } from './indicator';
import type { IndicatorFeed } from './indicator-feed';
import { PaneLabel } from './pane-label';

/** One that is on the chart. */
export interface Shown {
  added: Added;
  feed: IndicatorFeed;
}

interface Line {
  output: IndicatorOutput;
  series: ISeriesApi<'Line'> | ISeriesApi<'Histogram'>;
}

interface Drawn {
  lines: Line[];
  label: PaneLabel | null;
  /** Of the feed, when its values were drawn last. */
  version: number;
  feed: IndicatorFeed;
  /** Its place among the others: it decides the colours. */
  place: number;
}

const VOLUME_PANE = 1;
/** How high a pane of its own is, beside prices and volume, which share one. */
export const OWN_SHARE = 0.24;

type Point = { time: UTCTimestamp; value?: number; color?: string };

export class IndicatorLayer {
  private readonly chart: IChartApi;
  private readonly drawn = new Map<number, Drawn>();
  private shown: Shown[] = [];
  private colors: Colors;
  private palette: Palette;
  private priceScale = 2;
  private interval_s = 60;

  constructor(chart: IChartApi, colors: Colors, palette: Palette) {
    this.chart = chart;
    this.colors = colors;
    this.palette = palette;
  }

  setLook(colors: Colors, palette: Palette): void {
    this.colors = colors;
    this.palette = palette;
    for (const one of this.drawn.values()) one.version = -1;
    this.style();
    this.draw();
  }

  /** How prices are written, and how far apart bars are. */
  setBars(priceScale: number, interval_s: number): void {
    this.priceScale = priceScale;
    this.interval_s = interval_s;
    this.style();
  }

  /** Which are shown from now on, in this order. */
  set(shown: Shown[]): void {
    this.shown = shown;
    for (const [key, one] of this.drawn) {
      const now = shown.find(({ added }) => added.key === key);
      const outputs = now?.feed.outputs ?? [];
      // Values of another feed belong to other bars, and its outputs may be others.
      if (now && (outputs.length === 0 || sameOutputs(one.lines, outputs))) continue;
      this.remove(key, one);
    }
    this.draw();
  }

  /** Draws what is new in the feeds. */
  draw(): void {
    let styled = false;
    for (const [place, { added, feed }] of this.shown.entries()) {
      let one = this.drawn.get(added.key);
      if (!one && feed.outputs.length > 0) {
        one = this.create(feed, place);
        this.drawn.set(added.key, one);
        styled = true;
      }
      if (!one) continue;
      if (one.place !== place || one.feed !== feed) {
        Object.assign(one, { place, feed, version: -1 });
        styled = true;
      }
      if (one.version === feed.version) continue;
      one.version = feed.version;
      for (const line of one.lines) this.fill(one, line);
    }
    if (styled) {
      this.style();
      this.order();
    }
    for (const { added } of this.shown) {
      for (const { series } of this.drawn.get(added.key)?.lines ?? [])
        if (series.options().visible === added.hidden) series.applyOptions({ visible: !added.hidden });
    }
  }

  /** Names and values at the top of panes of their own, of the bar at `start_s` or of the newest. */
  label(start_s: number | null): void {
    for (const { added, feed } of this.shown) {
      const one = this.drawn.get(added.key);
      if (!one?.label) continue;
      const values = start_s === null ? feed.newest : feed.at(start_s);
      one.label.set({
        name: indicatorLabel(added),
        value: added.hidden
          ? 'hidden'
          : one.lines
              .filter(({ output }) => output.pane !== 'price')
              .map(({ output }) => valueText(values?.[output.name], null))
              .join('  '),
        nameColor: this.colors['text.tertiary'],
        valueColor: added.hidden ? this.colors['text.tertiary'] : this.color(one, 0),
        surface: this.colors['bg.panel'],
      });
    }
  }

  clear(): void {
    for (const one of this.drawn.values()) {
      one.version = -1;
      for (const { series } of one.lines) series.setData([]);
      one.label?.set(null);
    }
  }

  private create(feed: IndicatorFeed, place: number): Drawn {
    const one: Drawn = { lines: [], label: null, version: -1, feed, place };
    let own: number | null = null;
    for (const output of feed.outputs) {
      let pane = output.pane === 'price' ? 0 : VOLUME_PANE;
      if (output.pane === 'own') pane = own ??= this.chart.panes().length;
      const series =
        output.draw === 'histogram'
          ? this.chart.addSeries(HistogramSeries, {}, pane)
          : this.chart.addSeries(LineSeries, {}, pane);
      if (pane === own && !one.label) {
        one.label = new PaneLabel();
        series.attachPrimitive(one.label);
        series.priceScale().applyOptions({ scaleMargins: { top: 0.22, bottom: 0.08 }, ticksVisible: false });
      }
      one.lines.push({ output, series });
    }
    if (own !== null) this.chart.panes()[own]?.setStretchFactor(OWN_SHARE);
    return one;
  }

  /** Panes stand in the order of their indicators, whichever came first. */
  private order(): void {
    let index = VOLUME_PANE + 1;
    for (const { added } of this.shown) {
      const own = this.drawn.get(added.key)?.lines.find(({ output }) => output.pane === 'own');
      const pane = own?.series.getPane();
      if (!pane) continue;
      if (pane.paneIndex() !== index) pane.moveTo(index);
      index += 1;
    }
  }

  private remove(key: number, one: Drawn): void {
    for (const { series } of one.lines) this.chart.removeSeries(series as ISeriesApi<SeriesType>);
    this.drawn.delete(key);
  }

  private color(one: Drawn, at: number): string {
    return this.colors[lineColor(one.place, at)];
  }

  private style(): void {
    for (const one of this.drawn.values()) {
      for (const [at, { output, series }] of one.lines.entries()) {
        const scale = output.pane === 'price' ? this.priceScale : null;
        const common = {
          lastValueVisible: false,
          priceLineVisible: false,
          priceFormat: {
            type: 'custom' as const,
            minMove: 10 ** -(scale ?? 6),
            formatter: (value: number) => valueText(value, scale),
          },
        };
        if (output.draw === 'histogram') (series as ISeriesApi<'Histogram'>).applyOptions(common);
        else {
          (series as ISeriesApi<'Line'>).applyOptions({
            ...common,
            // Both edges of a band are one thing.
            color: output.draw === 'band' ? `${this.color(one, 0)}b3` : this.color(one, at),
            lineWidth: 1,
            lineStyle: LineStyle.Solid,
            lineVisible: output.draw !== 'marks',
            pointMarkersVisible: output.draw === 'marks',
            pointMarkersRadius: 1.5,
            crosshairMarkerRadius: 3,
          });
        }
      }
    }
  }

  /** Sets the values of a line; one that is drawn later or earlier stands at another bar's place. */
  private fill(one: Drawn, { output, series }: Line): void {
    const { times } = one.feed;
    const values = one.feed.columns[output.name] ?? [];
    const [up, down] = upDown(this.colors, this.palette);
    const points: Point[] = [];
    let before = 0;
    for (let index = 0; index < times.length; index++) {
      const time = this.shifted(times, index + output.shift) as UTCTimestamp | null;
      const value = values[index];
      if (time === null) continue;
      if (value === null || value === undefined) points.push({ time });
      else if (output.draw === 'histogram') {
        // A bar that shrinks is fainter than one that grows.
        const grows = Math.abs(value) >= Math.abs(before);
        points.push({ time, value, color: `${value >= 0 ? up : down}${grows ? 'b3' : '66'}` });
        before = value;
      } else points.push({ time, value });
    }
    (series as ISeriesApi<'Line'>).setData(points as LineData<UTCTimestamp>[]);
  }

  private shifted(times: number[], index: number): number | null {
    if (index < 0) return null;
    const last = times.length - 1;
    if (index <= last) return times[index] ?? null;
    return (times[last] ?? 0) + (index - last) * this.interval_s;
  }
}

const sameOutputs = (lines: Line[], outputs: IndicatorOutput[]): boolean =>
  lines.length === outputs.length &&
  lines.every(({ output }, at) => {
    const other = outputs[at];
    return output.name === other?.name && output.pane === other.pane && output.shift === other.shift;
  });
