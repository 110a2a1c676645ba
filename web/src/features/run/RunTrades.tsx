import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '@/api/client';
import type { Backtest } from '@/api/types';
import { LineFigure, type Mark } from '@/shared/figure/LineFigure';
import { msOfNs, number, zoneFormat } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { useRunTable } from './queries';
import { RunTables } from './RunTables';

const BARS = 600;
/** So much of a trade's length is shown on both sides of it. */
const ROOM = 1.5;

/** The price with all that was done, and the trades: a row leads the chart to its trade. */
export function RunTrades({ run }: { run: Backtest }) {
  const zone = useSettings((settings) => settings.zone);
  const [instrument, setInstrument] = useState(run.instruments[0] ?? '');
  const [trade, setTrade] = useState<{ row: number; from: number; to: number } | null>(null);
  const prices = useRunTable(run.id, 'prices', { limit: 50_000 });
  const fills = useRunTable(run.id, 'fills', { limit: 5_000 });
  const near = useBars(run, instrument, trade);
  const whole = useMemo(() => {
    const { instrument: names = [], ts = [], close = [] } = prices.data?.columns ?? {};
    const at = names.flatMap((name, i) => (name === instrument ? [i] : []));
    return {
      times: at.map((i) => msOfNs(String(ts[i]))),
      values: at.map((i) => Number(close[i])),
    };
  }, [prices.data, instrument]);
  const line = trade ? (near.data ?? cut(whole, windowOf(trade))) : whole;
  const marks = useMemo((): Mark[] => {
    const { ts = [], instrument: names = [], side = [], price = [], size = [] } = fills.data?.columns ?? {};
    return ts.flatMap((ns, i) =>
      names[i] === instrument
        ? [
            {
              ms: msOfNs(String(ns)),
              value: Number(price[i]),
              up: side[i] === 'buy',
              text: `${side[i] === 'buy' ? 'Bought' : 'Sold'} ${Number(size[i])} at ${Number(price[i])}, ${zoneFormat(zone, WHEN).format(msOfNs(String(ns)))}`,
            },
          ]
        : [],
    );
  }, [fills.data, instrument, zone]);
  const [low, high] = [line.times[0] ?? 0, line.times.at(-1) ?? 0];
  return (
    <>
      <Panel
        title="Price with fills"
        note={
          trade
            ? `trade ${number(trade.row + 1)}${near.data ? `, bars of ${run.interval}` : ''}`
            : 'choose a trade below to go to it'
        }
        className="run-price"
        actions={
          <>
            <span className="fill-legend small secondary">
              <i className="up" aria-hidden /> bought <i className="down" aria-hidden /> sold
            </span>
            {run.instruments.length > 1 && (
              <label className="field">
                <span className="hidden">Instrument</span>
                <select
                  value={instrument}
                  onChange={({ target }) => {
                    setInstrument(target.value);
                    setTrade(null);
                  }}
                >
                  {run.instruments.map((name) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              </label>
            )}
            {trade && (
              <button type="button" className="button s" onClick={() => setTrade(null)}>
                All of it
              </button>
            )}
          </>
        }
      >
        {prices.data ? (
          line.times.length > 1 ? (
            <LineFigure
              label={trade ? `Price around trade ${trade.row + 1}` : 'Price with fills'}
              times={line.times}
              zone={zone}
              lines={[{ name: instrument, values: line.values, color: 'var(--text-secondary)' }]}
              marks={marks.filter(({ ms }) => ms >= low && ms <= high)}
              span={trade ? [trade.from, trade.to] : null}
            />
          ) : (
            <p className="panel-body secondary small">No price was kept of this instrument.</p>
          )
        ) : prices.error ? (
          <ErrorState what="Prices" error={prices.error} retry={() => void prices.refetch()} />
        ) : (
          <SkeletonRows rows={4} />
        )}
      </Panel>
      <RunTables
        id={run.id}
        table="trades"
        chosen={trade?.row ?? null}
        choose={(row, values) => {
          const from = msOfNs(String(values.opened));
          const to = values.closed === null ? msOfNs(String(run.end)) : msOfNs(String(values.closed));
          setInstrument(String(values.instrument));
          setTrade({ row, from, to });
        }}
      />
    </>
  );
}

const WHEN: Intl.DateTimeFormatOptions = {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
};

type Window = [number, number];
interface Prices {
  times: number[];
  values: number[];
}

const windowOf = ({ from, to }: { from: number; to: number }): Window => {
  const room = Math.max(60_000, (to - from) * ROOM);
  return [from - room, to + room];
};

function cut({ times, values }: Prices, [low, high]: Window): Prices {
  const at = times.flatMap((ms, i) => (ms >= low && ms <= high ? [i] : []));
  return { times: at.map((i) => times[i] ?? 0), values: at.map((i) => values[i] ?? 0) };
}

/** The stored bars around a trade; the thinned closes of the run stand in for those that are not there. */
function useBars(run: Backtest, instrument: string, trade: { from: number; to: number } | null) {
  const window = trade ? windowOf(trade) : null;
  return useQuery({
    queryKey: ['run', run.id, 'bars', instrument, window],
    enabled: window !== null,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    queryFn: async ({ signal }): Promise<Prices> => {
      const [low, high] = window ?? [0, 0];
      const end = new Date(high).toISOString();
      const found = await api.bars(instrument, { interval: run.interval, limit: BARS, end }, signal);
      const times: number[] = [];
      const values: number[] = [];
      const starts = found.ts.map((ns) => msOfNs(ns));
      const step = Math.min(...starts.slice(1).map((ms, i) => ms - (starts[i] ?? 0)));
      found.close.forEach((close, i) => {
        // A close is known at the end of its bar.
        const ms = (starts[i] ?? 0) + step;
        if (close === null || ms < low || ms > high) return;
        times.push(ms);
        values.push(close);
      });
      if (times.length < 2) throw new Error('no bars are stored around it');
      return { times, values };
    },
  });
}
