import { type Query, useQueries } from '@tanstack/react-query';
import { Clock, Search } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { api } from '@/api/client';
import type { Instrument } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { parseDecimal, toNumber } from '@/shared/decimal';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { useFeeds } from '@/shared/feeds';
import { age, decimal, NONE, percent } from '@/shared/format';
import { pairOf } from '@/shared/market';
import { stream } from '@/shared/stream';
import './instrument.css';
import { Scroll } from '@/shared/Scroll';

/** Instruments followed live at once; the rest is one search away. */
const FOLLOWED = 20;
/** Beside prices of more places the clock alone says that they are old. */
const SHORT_PLACES = 6;
const UNKNOWN: FeedView = {
  freshness: 'connecting',
  since_ms: 0,
  origin: 'page',
  attempt: 0,
  next_try_ms: 0,
};
const NO_CLOSES: Record<string, string> = {};

/** Instruments with their last price and the change since the start of the UTC day. */
export function InstrumentList(props: {
  instruments: Instrument[];
  selected: string;
  select(instrument: string): void;
  search(): void;
}) {
  const { instruments, selected, select, search } = props;
  const followed = useMemo(() => choose(instruments, selected), [instruments, selected]);
  const closes = useCloses(followed);
  const opens = useDayOpens(followed);
  const feeds = useFeeds();
  const now_ms = useSecond();
  const groups = useMemo(() => byVenue(followed), [followed]);
  const long = followed.some((row) => row.price_scale > SHORT_PLACES);
  const list = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another instrument is what brings its row into view
  useEffect(() => {
    list.current?.querySelector('tr.selected')?.scrollIntoView({ block: 'nearest' });
  }, [selected]);
  return (
    <section className="instruments" aria-label="Instruments" ref={list}>
      <header className="sub-head">
        <h2>Instruments</h2>
        <span className="micro tertiary">today, UTC</span>
        <span className="space" />
        <button
          type="button"
          className="icon-button small-icon"
          aria-label="Find an instrument"
          onClick={search}
        >
          <Search size={14} strokeWidth={1.75} aria-hidden />
        </button>
      </header>
      <Scroll label="Followed instruments">
        <table>
          {groups.map(([venue, rows]) => (
            <tbody key={venue}>
              <tr className="venue">
                <th scope="rowgroup" colSpan={3}>
                  {venue}
                </th>
              </tr>
              {rows.map((row) => {
                const view = feeds.find(({ venue }) => venue === row.venue)?.view ?? UNKNOWN;
                const price = closes[row.instrument] ?? row.last?.price ?? null;
                const open = opens[row.instrument];
                const change = price !== null && open ? Number(price) / open - 1 : null;
                const current = isCurrent(view);
                const coming = view.freshness === 'connecting';
                return (
                  <tr
                    key={row.instrument}
                    className={`${row.instrument === selected ? 'selected' : ''} ${current ? '' : 'old'}`}
                  >
                    <td>
                      <button
                        type="button"
                        className="name"
                        aria-current={row.instrument === selected || undefined}
                        onClick={() => select(row.instrument)}
                      >
                        <span className="medium">{pairOf(row)}</span>
                      </button>
                    </td>
                    <td className="n">
                      <Price text={price} places={row.price_scale} live={current} />
                    </td>
                    <td className={`n ${current ? tone(change) : coming ? '' : 'state-stale'}`}>
                      {current || coming ? (
                        percent(change)
                      ) : (
                        <span className="state" style={{ gap: 3 }}>
                          <Clock size={12} strokeWidth={2} aria-hidden />
                          {view.since_ms ? age(now_ms - view.since_ms) : ''}
                          <span className={long ? 'hidden' : undefined}>old</span>
                        </span>
                      )}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          ))}
        </table>
      </Scroll>
    </section>
  );
}

const tone = (change: number | null): string =>
  change === null || change === 0 ? '' : change > 0 ? 'up' : 'down';

/** The first ones by name, and always the one that is shown. */
function choose(instruments: Instrument[], selected: string): Instrument[] {
  const first = instruments.slice(0, FOLLOWED);
  const own = instruments.find((instrument) => instrument.instrument === selected);
  return own && !first.includes(own) ? [...first.slice(0, FOLLOWED - 1), own] : first;
}

function byVenue(instruments: Instrument[]): [venue: string, rows: Instrument[]][] {
  const groups = new Map<string, Instrument[]>();
  for (const row of instruments) groups.set(row.venue, [...(groups.get(row.venue) ?? []), row]);
  return [...groups].sort(([a], [b]) => a.localeCompare(b));
}

/** Flashes on change, at most four times a second. */
function Price({ text, places, live }: { text: string | null; places: number; live: boolean }) {
  const before = useRef<{ text: string | null; at_ms: number }>({ text, at_ms: 0 });
  const [flash, setFlash] = useState<{ key: number; up: boolean } | null>(null);
  useEffect(() => {
    const { text: old, at_ms } = before.current;
    const now_ms = performance.now();
    if (text !== null && old !== null && text !== old && live && now_ms - at_ms > 250) {
      before.current = { text, at_ms: now_ms };
      setFlash({ key: now_ms, up: Number(text) > Number(old) });
    } else before.current = { text, at_ms };
  }, [text, live]);
  if (text === null) return NONE;
  return (
    <span key={flash?.key} className={flash && live ? (flash.up ? 'flash-up' : 'flash-down') : undefined}>
      {decimal(text, places)}
    </span>
  );
}

function useCloses(instruments: Instrument[]): Record<string, string> {
  const names = instruments.map((instrument) => instrument.instrument).join(' ');
  const [closes, setCloses] = useState(NO_CLOSES);
  useEffect(() => {
    if (names === '') return;
    const subscription = stream.subscribe(
      { instruments: names.split(' '), channels: ['bars:1s'] },
      (update) => {
        const changed = Object.entries(update.closes);
        if (changed.length === 0) return;
        setCloses((old) => ({
          ...old,
          ...Object.fromEntries(changed.map(([instrument, { close }]) => [instrument, close])),
        }));
      },
    );
    return () => subscription.close();
  }, [names]);
  return closes;
}

let turn: Promise<unknown> = Promise.resolve();

/** One request at a time: the chart beside the list must not wait behind all of them. */
function inTurn<T>(ask: () => Promise<T>): Promise<T> {
  const asked = turn.then(ask, ask);
  turn = asked;
  return asked;
}

/** Opening price of the UTC day per instrument; a day without a bar has none. */
function useDayOpens(instruments: Instrument[]): Record<string, number | undefined> {
  const day = Math.floor(useSecond() / 86_400_000);
  return useQueries({
    queries: instruments.map(({ instrument }) => ({
      queryKey: ['day-open', instrument, day],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const bars = await inTurn(() => api.bars(instrument, { interval: '1d', limit: 1 }, signal));
        const ts = bars.current?.ts ?? bars.ts.at(-1);
        const open = bars.current?.open ?? bars.open.at(-1);
        if (ts === undefined || open == null) return null;
        if (Number(BigInt(ts) / 86_400_000_000_000n) !== day) return null;
        const exact = parseDecimal(open);
        return toNumber(exact.mantissa, exact.scale);
      },
      staleTime: 600_000,
      // A platform that has just started is still writing its history: no bar yet is not no bar today.
      refetchInterval: (query: Query<number | null>) => (query.state.data == null ? 30_000 : false),
      retry: false,
    })),
    combine: (results) =>
      Object.fromEntries(
        results.map((result, i) => [instruments[i]?.instrument ?? '', result.data ?? undefined]),
      ),
  });
}
