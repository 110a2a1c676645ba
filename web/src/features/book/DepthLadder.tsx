import { CircleDashed, Layers, TriangleAlert } from 'lucide-react';
import { memo, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Instrument } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { parseDecimal } from '@/shared/decimal';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { decimal, msOfNs, NONE, number, signed, timeOfDay } from '@/shared/format';
import { type Market, useMarketView } from '@/shared/market';
import { useSettings } from '@/shared/settings';
import { Triangle } from '@/shared/Triangle';
import { sizeText, sumText, type Unit, unitHead, useUnit } from '@/shared/unit';
import './book.css';
import { float, type LadderRow, ladder } from './ladder';

const ROW_PX = 19;
/** Everything in the panel that is not a level row. */
const FIXED_PX = 32 + 8 + 19 + 36;
const MOST = 25;
const NO_ROWS: LadderRow[] = [];

/** Price levels above and below the spread, with size bars. A book that failed its check is shown as such. */
export function DepthLadder(props: { market: Market; instrument: Instrument; view: FeedView }) {
  const { market, instrument, view } = props;
  const { book, tape, invalid_since, error } = useMarketView(market);
  const zone = useSettings((settings) => settings.zone);
  const body = useRef<HTMLDivElement>(null);
  const rows = useRowsThatFit(body);
  const current = isCurrent(view);
  const state = book?.state ?? 'waiting';
  const numbers = useMemo(
    () => (book ? ladder(book.bids, book.asks, Math.min(rows, MOST)) : null),
    [book, rows],
  );
  const price = Math.max(instrument.price_scale, 0);
  const sizePlaces = instrument.size_scale;
  const last = tape[0];
  const lastUp = last?.aggressor === 'buy';
  const shown = state === 'valid' ? numbers : null;
  const unit = useUnit(instrument.instrument, shown?.most ?? 0);
  return (
    <section className={`depth ${current && state === 'valid' ? '' : 'dim'}`} aria-label="Depth" ref={body}>
      <header className="sub-head">
        <h2>Depth</h2>
        <span className="space" />
        <span className="micro tertiary">
          {shown?.spread
            ? `spread ${decimal(shown.spread, price)} · ${number(shown.spread_bp ?? 0, 2)} bp`
            : ''}
        </span>
      </header>
      {view.freshness === 'idle' && state !== 'valid' ? (
        <div className="empty">
          <CircleDashed size={16} className="tertiary" aria-hidden />
          <div className="strong">Not collecting</div>
          <p>{instrument.venue} is stopped. Levels are shown again once it is started, under Collection.</p>
        </div>
      ) : state === 'invalid' ? (
        <div className="empty" role="alert">
          <TriangleAlert size={16} className="state-gap" aria-hidden />
          <div className="strong">Book not valid</div>
          <p>
            {current ? 'Its check against the venue failed' : 'The venue’s stream broke off'}
            {invalid_since && ` at ${timeOfDay(msOfNs(invalid_since), zone)}`}. Levels are shown again after
            the next whole snapshot.
          </p>
        </div>
      ) : state === 'waiting' ? (
        <div className="empty waiting">
          <Layers size={16} className="tertiary" aria-hidden />
          <div className="strong">No book</div>
          <p>
            {view.origin === 'page' && !current
              ? 'The stream to this page is interrupted. The book comes back with it.'
              : error
                ? `The stream does not give it: ${error.message}. It is asked again.`
                : 'The venue’s next whole snapshot brings it. Sellers of market data send none.'}
          </p>
        </div>
      ) : (
        <div className="ladder">
          <div className="level head micro tertiary">
            <span className="p">Price</span>
            <span>{unitHead('Size', unit)}</span>
            <span>{unitHead('Sum', unit)}</span>
          </div>
          <Levels
            side="ask"
            rows={shown?.asks ?? NO_ROWS}
            count={rows}
            price={price}
            size={sizePlaces}
            unit={unit}
          />
          <div className="middle">
            <span
              className={`strong ${current && last ? (lastUp ? 'up' : 'down') : 'tertiary'}`}
              style={{ fontSize: 15 }}
            >
              {last ? decimal(last.price, price) : NONE}
            </span>
            {last && current && (
              <span className={lastUp ? 'up' : 'down'}>
                <Triangle up={lastUp} />
              </span>
            )}
            <span className="space" />
            {shown?.crossed ? (
              <span className="chip gap">crossed</span>
            ) : (
              <>
                <span className="micro tertiary">imbalance</span>
                <span className="small">
                  {shown?.imbalance == null ? NONE : signed(number(shown.imbalance, 2))}
                </span>
              </>
            )}
          </div>
          <Levels
            side="bid"
            rows={shown?.bids ?? NO_ROWS}
            count={rows}
            price={price}
            size={sizePlaces}
            unit={unit}
          />
        </div>
      )}
      <SpokenQuote market={market} price={price} />
    </section>
  );
}

const Levels = memo(function Levels(props: {
  side: 'ask' | 'bid';
  rows: LadderRow[];
  count: number;
  price: number;
  size: number;
  unit: Unit;
}) {
  const { side, count, price, size, unit } = props;
  const rows = side === 'ask' ? [...props.rows].reverse() : props.rows;
  const missing = Math.max(0, count - rows.length);
  const blanks = Array.from({ length: missing }, (_, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: empty places are all alike
    <div className="level" key={`blank-${i}`} />
  ));
  return (
    <>
      {side === 'ask' && blanks}
      {rows.map((row) => (
        <div className={`level ${side}`} key={row.price}>
          <i style={{ width: `${(row.sumShare * 100).toFixed(1)}%` }} />
          <i className="own" style={{ width: `${(row.sizeShare * 100).toFixed(1)}%` }} />
          <span className="p">{decimal(row.price, price)}</span>
          <span title={unit.name ? decimal(row.size, size) : undefined}>
            {sizeText(row.size, size, unit)}
          </span>
          <span className="secondary">{sumText(float(row.sum), size, unit)}</span>
        </div>
      ))}
      {side === 'bid' && blanks}
    </>
  );
});

/** Level rows per side that fit the panel's height. */
function useRowsThatFit(element: React.RefObject<HTMLElement | null>): number {
  const [rows, setRows] = useState(9);
  useLayoutEffect(() => {
    const observed = element.current;
    if (!observed) return;
    const observer = new ResizeObserver(([entry]) => {
      const height = entry?.contentRect.height ?? 0;
      setRows(Math.max(3, Math.min(MOST, Math.floor((height - FIXED_PX) / 2 / ROW_PX))));
    });
    observer.observe(observed);
    return () => observer.disconnect();
  }, [element]);
  return rows;
}

/** For screen readers: the best prices, at most once a second. */
function SpokenQuote({ market, price }: { market: Market; price: number }) {
  useSecond();
  const { book } = market.read();
  const bid = book?.state === 'valid' ? book.bids[0] : undefined;
  const ask = book?.state === 'valid' ? book.asks[0] : undefined;
  const say = (level: [string, string] | undefined) =>
    level ? decimal(parseDecimal(level[0]), price) : 'none';
  return (
    <p className="hidden" aria-live="polite">
      Best bid {say(bid)}, best ask {say(ask)}
    </p>
  );
}
