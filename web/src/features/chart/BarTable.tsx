import { useState } from 'react';
import { mantissaText, number, timeOfDay, zoneFormat } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import type { BarSeries } from './bar-series';

const STEP = 200;

/** The chart as a table, newest bar first: what a screen reader or a careful eye can follow. */
export function BarTable({ series, base }: { series: BarSeries; base: string }) {
  const zone = useSettings((settings) => settings.zone);
  const [shown, setShown] = useState(STEP);
  const bars = series.bars.slice(-shown).reverse();
  const daily = series.interval === '1d';
  const day = zoneFormat(daily ? 'UTC' : zone, { day: '2-digit', month: 'short', year: 'numeric' });
  const price = (value: bigint) => mantissaText(value, series.priceScale);
  return (
    <Scroll label="Bars" className="bar-table">
      <table>
        <thead>
          <tr>
            <th>Start, {daily ? 'UTC' : zone}</th>
            <th className="n">Open</th>
            <th className="n">High</th>
            <th className="n">Low</th>
            <th className="n">Close</th>
            <th className="n">Volume {base}</th>
            <th className="n">Trades</th>
          </tr>
        </thead>
        <tbody>
          {bars.map((bar) => (
            <tr key={bar.start}>
              <td>
                {day.format(bar.start * 1000)}
                {!daily && ` ${timeOfDay(bar.start * 1000, zone)}`}
              </td>
              <td className="n">{price(bar.open)}</td>
              <td className="n">{price(bar.high)}</td>
              <td className="n">{price(bar.low)}</td>
              <td className="n">{price(bar.close)}</td>
              <td className="n">{mantissaText(bar.volume, series.sizeScale)}</td>
              <td className="n">{number(bar.trades)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown < series.bars.length && (
        <button type="button" className="button s quiet" onClick={() => setShown(shown + STEP)}>
          Show {STEP} older of {number(series.bars.length)}
        </button>
      )}
    </Scroll>
  );
}
