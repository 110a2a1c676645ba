import { memo } from 'react';
import type { Instrument } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { decimal, msOfNs, number, sentence, timeOfDay, timeOfDayMs } from '@/shared/format';
import { type Market, useMarketView } from '@/shared/market';
import { useSettings } from '@/shared/settings';
import type { StreamTrade } from '@/shared/stream-core';
import { sizeText, type Unit, unitHead, useUnit } from '@/shared/unit';
import './trades.css';
import { Scroll } from '@/shared/Scroll';

const SHOWN = 60;
/** Beside a price of more places there is no room for milliseconds. */
const SHORT_PLACES = 6;

/** Newest trades first; colour and sign of the side that crossed the spread. */
export function TradesTape(props: { market: Market; instrument: Instrument; view: FeedView }) {
  const { market, instrument, view } = props;
  const { tape, error } = useMarketView(market);
  const zone = useSettings((settings) => settings.zone);
  const shown = tape.slice(0, SHOWN);
  const unit = useUnit(instrument.instrument, Math.max(0, ...shown.map(({ size }) => Number(size))));
  return (
    <section className={`tape ${isCurrent(view) && !error ? '' : 'dim'}`} aria-label="Trades">
      <header className="sub-head">
        <h2>Trades</h2>
        <span className="space" />
        <Rate market={market} />
      </header>
      <Scroll label="Newest trades" className="tape-body">
        <table>
          <thead>
            <tr>
              <th>Time</th>
              <th className="n">Price</th>
              <th className="n">{unit.name ? unitHead('Size', unit) : `Size ${instrument.base}`}</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((trade) => (
              <TradeRow
                key={`${trade.epoch}:${trade.sequence}`}
                trade={trade}
                price={instrument.price_scale}
                size={instrument.size_scale}
                zone={zone}
                unit={unit}
              />
            ))}
          </tbody>
        </table>
        {tape.length === 0 && (
          <p className="small tertiary tape-none">{error ? sentence(error.message) : 'No trade yet.'}</p>
        )}
      </Scroll>
    </section>
  );
}

const SIDE = { buy: 'up', sell: 'down', none: '' } as const;

const TradeRow = memo(function TradeRow(props: {
  trade: StreamTrade;
  price: number;
  size: number;
  zone: string;
  unit: Unit;
}) {
  const { trade, price, size, zone, unit } = props;
  const at_ms = msOfNs(trade.ts_event);
  return (
    <tr>
      <td className="tertiary" title={price > SHORT_PLACES ? timeOfDayMs(at_ms, zone) : undefined}>
        {price > SHORT_PLACES ? timeOfDay(at_ms, zone) : timeOfDayMs(at_ms, zone)}
      </td>
      <td className={`n ${SIDE[trade.aggressor]}`}>
        <span className="hidden">{trade.aggressor} </span>
        {decimal(trade.price, price)}
      </td>
      <td className="n" title={unit.name ? decimal(trade.size, size) : undefined}>
        {sizeText(trade.size, size, unit)}
      </td>
    </tr>
  );
});

function Rate({ market }: { market: Market }) {
  const now_ms = useSecond();
  return <span className="micro tertiary">{number(market.rate(now_ms), 1)} /s</span>;
}
