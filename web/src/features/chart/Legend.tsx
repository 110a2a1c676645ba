import { ShieldCheck, TriangleAlert } from 'lucide-react';
import { memo } from 'react';
import type { Instrument } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { mantissaAt, toNumber } from '@/shared/decimal';
import { FeedWord } from '@/shared/FeedWord';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { latency, mantissaText, NONE, percent, signed } from '@/shared/format';
import type { Interval } from '@/shared/interval';
import { pairOf } from '@/shared/market';
import type { Bar, BarSeries } from './bar-series';
import type { ChartGap } from './gap';

/** Change over the bar, exact and as a ratio. */
export function barChange(bar: Bar, scale: number): { text: string; ratio: number; tone: string } {
  const change = bar.close - bar.open;
  const open = toNumber(mantissaAt({ mantissa: bar.open, scale }, scale), scale);
  return {
    text: signed(mantissaText(change, scale)),
    ratio: open === 0 ? 0 : toNumber(change, scale) / open,
    tone: change === 0n ? 'secondary' : change > 0n ? 'up' : 'down',
  };
}

/** Name, and open, high, low, close of the bar under the crosshair, else of the last bar. */
export const Legend = memo(function Legend(props: {
  instrument: Instrument;
  interval: Interval;
  series: BarSeries | null;
  bar: Bar | null;
  view: FeedView;
  note: string | null;
  gaps: ChartGap[];
}) {
  const { instrument, interval, series, bar, view, note, gaps } = props;
  const scale = series?.priceScale ?? instrument.price_scale;
  const price = (value: bigint | undefined) => (value === undefined ? NONE : mantissaText(value, scale));
  const change = bar && series ? barChange(bar, scale) : null;
  const tone = change && isCurrent(view) ? change.tone : 'secondary';
  return (
    <>
      <div className="row legend-line">
        <span className="strong">
          {pairOf(instrument)}{' '}
          <span className="tertiary legend-venue">
            {instrument.venue} · {interval}
          </span>
        </span>
        <span className="ohlc">
          <span className="tertiary">O</span> {price(bar?.open)}
          <span className="tertiary">H</span> {price(bar?.high)}
          <span className="tertiary">L</span> {price(bar?.low)}
          <span className="tertiary">C</span> {price(bar?.close)}
          {change && (
            <span className={tone}>
              {change.text} ({percent(change.ratio)})
            </span>
          )}
        </span>
      </div>
      <div className="row micro">
        <LegendFeed view={view} />
        <GapChips gaps={gaps} />
        {note && <span className="tertiary">{note}</span>}
      </div>
    </>
  );
});

/** Holes in the bars that are loaded, in words. */
function GapChips({ gaps }: { gaps: ChartGap[] }) {
  const repaired = gaps.filter(({ state }) => state === 'filled').length;
  const open = gaps.filter(({ end }) => end === null).length;
  const rest = gaps.length - repaired - open;
  const words = (count: number, word: string) => `${count} ${count === 1 ? 'gap' : 'gaps'} ${word}`;
  return (
    <>
      {open > 0 && (
        <span className="chip gap">
          <TriangleAlert size={12} strokeWidth={2} aria-hidden />
          {words(open, 'open')}
        </span>
      )}
      {rest > 0 && (
        <span className="chip gap">
          <TriangleAlert size={12} strokeWidth={2} aria-hidden />
          {words(rest, 'not filled')}
        </span>
      )}
      {repaired > 0 && (
        <span className="chip repaired">
          <ShieldCheck size={12} strokeWidth={2} aria-hidden />
          {words(repaired, 'repaired')}
        </span>
      )}
    </>
  );
}

function LegendFeed({ view }: { view: FeedView }) {
  const now_ms = useSecond();
  return (
    <span>
      <FeedWord view={view} now_ms={now_ms} />
      {view.lag_ns != null && (
        <span className="secondary" title="From the venue's clock to this platform, median">
          , {latency(view.lag_ns)}
        </span>
      )}
    </span>
  );
}
