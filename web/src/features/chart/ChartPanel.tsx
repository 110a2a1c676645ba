import { ChartCandlestick } from 'lucide-react';
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from 'react';
import { ApiError } from '@/api/client';
import type { Instrument } from '@/api/types';
import { useSecond } from '@/shared/clock';
import type { FeedView, Freshness } from '@/shared/feed-state';
import { mantissaText } from '@/shared/format';
import type { Interval } from '@/shared/interval';
import { type Market, useMarketError } from '@/shared/market';
import { ErrorState } from '@/shared/Panel';
import { Pace } from '@/shared/pace';
import { useSettings } from '@/shared/settings';
import { useLook, usePhone } from '@/theme/ThemeProvider';
import { BarTable } from './BarTable';
import { BarFeed, type FeedStatus } from './bar-feed';
import type { Bar } from './bar-series';
import './chart.css';
import { ChartView } from './chart-view';
import type { ChartGap } from './gap';
import { IndicatorForm } from './IndicatorForm';
import { IndicatorLegend } from './IndicatorLegend';
import { barChange, Legend } from './Legend';
import { useIndicatorFeeds } from './use-indicator-feeds';

/** The bar that the legend speaks of, for screens that show it elsewhere. */
export interface ShownBar {
  bar: Bar | null;
  priceScale: number;
  sizeScale: number;
}

export interface ChartHandle {
  reset(): void;
  picture(): HTMLCanvasElement | null;
}

/** Numbers of these are old: the panel's edge says so. */
const OLD = new Set<Freshness>(['stale', 'reconnecting', 'offline']);
const NO_GAPS: ChartGap[] = [];
const LOADING: FeedStatus = { phase: 'loading', error: null, loadingOlder: false, whole: false };

/** Candles and volume of one instrument, live. */
export function ChartPanel(props: {
  market: Market;
  instrument: Instrument;
  interval: Interval;
  view: FeedView;
  table: boolean;
  handle: React.Ref<ChartHandle>;
  /** Shown in the chart's place; the chart goes on behind it. */
  cover?: React.ReactNode;
  onBar?(shown: ShownBar): void;
}) {
  const { market, instrument, interval, view, table, handle, cover, onBar } = props;
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<ChartView | null>(null);
  const feed = useRef<BarFeed | null>(null);
  /** The feed that loads, before it is the one that is shown. */
  const loader = useRef<BarFeed | null>(null);
  const [status, setStatus] = useState(LOADING);
  const [pointed, setPointed] = useState<Bar | null>(null);
  const [version, setVersion] = useState(0);
  const look = useLook();
  const phone = usePhone();
  const refused = useMarketError(market);
  const zone = useSettings((settings) => settings.zone);
  const now_ms = useSecond();

  useImperativeHandle(handle, () => ({
    reset: () => chart.current?.reset(),
    picture: () => chart.current?.picture() ?? null,
  }));

  // biome-ignore lint/correctness/useExhaustiveDependencies: the look is applied by its own effect, without a new chart
  useEffect(() => {
    if (!box.current) return;
    const made = new ChartView(
      box.current,
      { ...look, zone, phone },
      { crosshair: setPointed, older: () => void feed.current?.older() },
    );
    chart.current = made;
    if (feed.current?.status.phase === 'ready') made.show(feed.current, instrument.base);
    return () => {
      chart.current = null;
      made.remove();
    };
  }, []);

  useEffect(() => chart.current?.setLook({ ...look, zone, phone }), [look, zone, phone]);
  useEffect(() => chart.current?.setFeedView(view), [view]);
  useEffect(() => chart.current?.second(now_ms), [now_ms]);

  // Bars of another instrument must not stand under this one's name, not for a single frame, while its own are on the way.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a change of instrument clears
  useLayoutEffect(() => {
    chart.current?.clear();
    feed.current = null;
    setPointed(null);
    setStatus(LOADING);
  }, [instrument.instrument]);

  useEffect(() => {
    let shown = false;
    let gone = false;
    let changedFrom = Number.POSITIVE_INFINITY;
    const drawing = new Pace(() => {
      if (changedFrom !== Number.POSITIVE_INFINITY)
        chart.current?.change({ kind: 'bars', from: changedFrom });
      changedFrom = Number.POSITIVE_INFINITY;
      setVersion((value) => value + 1);
    });
    const opened = new BarFeed(
      market,
      interval,
      { price: instrument.price_scale, size: instrument.size_scale },
      (change, next) => {
        if (gone) return; // An answer that was on its way when another chart was asked for.
        setStatus(next);
        if (!change) return;
        if (change.kind === 'all' && !shown) {
          shown = true;
          feed.current = opened;
          setPointed(null);
          chart.current?.show(opened, instrument.base);
        } else if (shown && change.kind === 'bars') changedFrom = Math.min(changedFrom, change.from);
        else if (shown) {
          // What waits is drawn first, at its new place: older bars count from before it.
          if (change.kind === 'older' && changedFrom !== Number.POSITIVE_INFINITY)
            chart.current?.change({ kind: 'bars', from: changedFrom + change.count });
          changedFrom = Number.POSITIVE_INFINITY;
          chart.current?.change(change);
        }
        drawing.ask();
      },
    );
    loader.current = opened;
    return () => {
      gone = true;
      drawing.stop();
      opened.close();
    };
  }, [market, interval, instrument.base, instrument.price_scale, instrument.size_scale]);

  const series =
    status.phase === 'ready' && feed.current?.instrument === instrument.instrument
      ? feed.current.series
      : null;
  // The bar under the crosshair may be the open one: what is shown is its newest state.
  const bar = (pointed ? series?.bars[series.place(pointed.start)] : series?.bars.at(-1)) ?? null;
  const scale = series?.priceScale ?? instrument.price_scale;
  const sizeScale = series?.sizeScale ?? instrument.size_scale;
  useLayoutEffect(() => onBar?.({ bar, priceScale: scale, sizeScale }), [onBar, bar, scale, sizeScale]);

  const drawnInterval = series?.interval ?? interval;
  const { shown, version: values } = useIndicatorFeeds(
    instrument.instrument,
    drawnInterval,
    series !== null,
    series?.bars[0]?.start ?? null,
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: the version tells that values have changed
  useEffect(() => chart.current?.setIndicators(shown), [shown, values]);

  // Until the bars of a new interval are here the old ones stay, under their own name.
  const drawn = drawnInterval;
  const note = status.loadingOlder
    ? 'loading older bars'
    : drawn !== interval
      ? `loading ${interval} bars`
      : status.error && status.phase === 'ready'
        ? status.error.message
        : refused
          ? `no stream: ${refused.message}`
          : null;
  const empty = status.phase === 'ready' && series?.bars.length === 0;
  return (
    <section className={`chart-panel ${OLD.has(view.freshness) ? 'stale' : ''}`} aria-label="Price chart">
      {!cover && (
        <div className={`legend ${phone ? 'legend-phone' : ''}`}>
          {!phone && (
            <Legend
              instrument={instrument}
              interval={drawn}
              series={series}
              bar={bar}
              view={view}
              note={note}
              gaps={feed.current?.gaps ?? NO_GAPS}
            />
          )}
          {phone && note && <span className="micro tertiary">{note}</span>}
          {!table && (
            <IndicatorLegend
              shown={shown}
              start_s={pointed?.start ?? null}
              priceScale={scale}
              compact={phone}
            />
          )}
        </div>
      )}
      <IndicatorForm />
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms */}
      <div
        className="chart-box"
        ref={box}
        inert={Boolean(cover)}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the chart has a keyboard layer of its own
        tabIndex={0}
        role="group"
        aria-roledescription="chart"
        aria-label={describe(instrument, drawn, bar, scale)}
        onKeyDown={(event) => {
          const view_ = chart.current;
          if (!view_ || event.altKey) return;
          if (event.ctrlKey && event.key === 'ArrowUp') view_.zoom(1.25);
          else if (event.ctrlKey && event.key === 'ArrowDown') view_.zoom(0.8);
          else if (event.key === 'ArrowLeft') view_.moveCursor(event.shiftKey ? -10 : -1);
          else if (event.key === 'ArrowRight') view_.moveCursor(event.shiftKey ? 10 : 1);
          else if (event.key === 'End') view_.reset();
          else return;
          event.preventDefault();
        }}
      />
      {status.phase === 'loading' && <ChartSkeleton />}
      {status.phase === 'error' && (
        <div className="chart-cover chart-error">
          <section className="panel" aria-label="Error">
            <ErrorState
              what="Bars"
              error={status.error && new ApiError(0, status.error)}
              retry={() => loader.current?.reload(0)}
            />
          </section>
        </div>
      )}
      {empty && (
        <div className="chart-cover empty">
          <ChartCandlestick size={18} className="tertiary" aria-hidden />
          <div className="strong">No trades yet</div>
          <p>
            Bars of {instrument.instrument} appear here with its first trade. Nothing is stored for this
            interval.
          </p>
        </div>
      )}
      {table && series && !cover && (
        <div className="chart-cover" data-version={version}>
          <BarTable series={series} base={instrument.base} />
        </div>
      )}
      {cover}
    </section>
  );
}

function describe(instrument: Instrument, interval: Interval, bar: Bar | null, scale: number): string {
  const name = `${instrument.instrument}, ${interval} candles`;
  if (!bar) return name;
  return `${name}. Last close ${mantissaText(bar.close, scale)}, change ${barChange(bar, scale).text}`;
}

/** Faint candles in the shape of what comes; only after 150 ms, by CSS. */
function ChartSkeleton() {
  return (
    <div className="chart-cover chart-skeleton" aria-hidden>
      {Array.from({ length: 48 }, (_, i) => (
        <i
          // biome-ignore lint/suspicious/noArrayIndexKey: fixed decoration
          key={i}
          style={{ height: `${12 + ((i * 53) % 34)}%`, marginBottom: `${14 + 10 * Math.sin(i / 5)}%` }}
        />
      ))}
    </div>
  );
}
