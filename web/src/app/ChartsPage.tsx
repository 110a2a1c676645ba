import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { SearchX } from 'lucide-react';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Instrument } from '@/api/types';
import { DepthLadder } from '@/features/book/DepthLadder';
import { type ChartHandle, ChartPanel, type ShownBar } from '@/features/chart/ChartPanel';
import { readIndicators, showIndicators, useIndicators, writeIndicators } from '@/features/chart/indicator';
import { curlSnippet, pythonSnippet } from '@/features/chart/snippet';
import { Toolbar } from '@/features/chart/Toolbar';
import { HistoryPanel } from '@/features/history/HistoryPanel';
import { InstrumentList } from '@/features/instrument/InstrumentList';
import { TradesTape } from '@/features/trades/TradesTape';
import { useSecond } from '@/shared/clock';
import { type Command, openPalette, useRegister } from '@/shared/command';
import type { FeedView } from '@/shared/feed-state';
import { useVenueFeed } from '@/shared/feeds';
import type { Interval } from '@/shared/interval';
import { type Market, pairOf, useMarket, useMarketStatus } from '@/shared/market';
import { ErrorState } from '@/shared/Panel';
import { useConfig, useInstruments } from '@/shared/queries';
import { setSettings, useSettings } from '@/shared/settings';
import { copyText } from '@/shared/toast';
import { usePhone } from '@/theme/ThemeProvider';
import './charts-page.css';
import { PhoneWorkspace } from './PhoneWorkspace';
import type { ChartSearch } from './router';

const route = getRouteApi('/charts');

/** Finds the instrument of the address, or the one looked at last, or the first there is. */
export function ChartsPage() {
  const search = route.useSearch();
  const { data: instruments, error, refetch } = useInstruments();
  const remembered = useSettings();
  const wanted = search.instrument ?? remembered.instrument;
  const interval = search.interval ?? remembered.interval;
  const named = instruments?.find((item) => item.instrument === wanted);
  const chosen = named ?? (search.instrument ? undefined : instruments?.[0]);

  useEffect(() => {
    if (chosen) setSettings({ instrument: chosen.instrument, interval });
  }, [chosen, interval]);

  if (chosen && instruments) {
    return (
      <Workspace
        instrument={chosen}
        instruments={instruments}
        interval={interval}
        all={search.all === true}
        inAddress={search.instrument !== undefined && search.interval !== undefined}
      />
    );
  }
  if (error && !instruments) {
    return (
      <div className="page-error">
        <section className="panel" aria-label="Error">
          <ErrorState what="Instruments" error={error} retry={() => void refetch()} />
        </section>
      </div>
    );
  }
  if (!instruments) return <div className="workspace" aria-busy />;
  return (
    <div className="empty">
      <SearchX size={18} className="tertiary" aria-hidden />
      <div className="strong">
        {search.instrument ? `No instrument ${search.instrument}` : 'No instruments yet'}
      </div>
      <p>
        {instruments.length > 0
          ? 'It is not collected on this platform. Choose one that is.'
          : 'Instruments appear here once a collector is connected to its venue.'}
      </p>
      {instruments.length > 0 && (
        <button type="button" className="button primary" onClick={() => openPalette('instrument')}>
          Choose an instrument
        </button>
      )}
    </div>
  );
}

function Workspace(props: {
  instrument: Instrument;
  instruments: Instrument[];
  interval: Interval;
  all: boolean;
  /** False: the address does not say yet what is shown. */
  inAddress: boolean;
}) {
  const { instrument, instruments, interval, all, inAddress } = props;
  const navigate = useNavigate({ from: '/charts' });
  const market = useMarket(instrument.instrument);
  const view = useInstrumentFeed(market);
  const chart = useRef<ChartHandle>(null);
  const [table, setTable] = useState(false);
  const phone = usePhone();
  const name = instrument.instrument;

  useEffect(() => {
    if (!inAddress)
      void navigate({ search: (old) => ({ ...old, instrument: name, interval }), replace: true });
  }, [inAddress, name, interval, navigate]);
  usePageTitle(instrument, market);
  useIndicatorsInAddress();

  const go = useCallback(
    (change: { instrument?: string; interval?: Interval; all?: true | undefined }) =>
      void navigate({ search: (old) => present({ ...old, ...change }) }),
    [navigate],
  );
  const pick = useCallback((value: Interval) => go({ interval: value, all: undefined }), [go]);
  const showAll = useCallback(() => go({ all: all ? undefined : true }), [go, all]);
  useChartCommands(name, interval, chart, setTable, showAll);
  const panel = (onBar?: (shown: ShownBar) => void) => (
    <ChartPanel
      market={market}
      instrument={instrument}
      interval={interval}
      view={view}
      table={table}
      handle={chart}
      cover={all && <HistoryPanel instrument={instrument} />}
      {...(onBar ? { onBar } : {})}
    />
  );
  if (phone) {
    return (
      <PhoneWorkspace
        instrument={instrument}
        interval={interval}
        market={market}
        view={view}
        all={all}
        pick={pick}
        panel={panel}
      />
    );
  }
  return (
    <>
      <h1 className="hidden">
        {name}, {interval}
      </h1>
      <Toolbar
        instrument={instrument}
        interval={interval}
        table={table}
        all={all}
        pickInstrument={() => openPalette('instrument')}
        pickInterval={pick}
      />
      <div className="workspace">
        {panel()}
        <div className="column">
          <InstrumentList
            instruments={instruments}
            selected={name}
            select={(value) => go({ instrument: value })}
            search={() => openPalette('instrument')}
          />
          <TradesTape market={market} instrument={instrument} view={view} />
        </div>
        <DepthLadder market={market} instrument={instrument} view={view} />
      </div>
    </>
  );
}

/** Without what is undefined: it has no place in the address. */
function present({ all, ...rest }: ChartSearch & { all?: true | undefined }): ChartSearch {
  return all ? { ...rest, all } : rest;
}

/** An address that names indicators shows those; what is added or removed is named in it. */
function useIndicatorsInAddress(): void {
  const navigate = useNavigate({ from: '/charts' });
  const named = route.useSearch().indicators;
  const written = useIndicators((chosen) => writeIndicators(chosen.added));
  const before = useRef<string | undefined>(undefined);
  useEffect(() => {
    if (named !== undefined && named !== before.current && named !== written) {
      before.current = named;
      showIndicators(readIndicators(named));
      return;
    }
    before.current = written;
    if ((named ?? '') !== written)
      void navigate({
        search: ({ indicators: _, ...old }) => (written ? { ...old, indicators: written } : old),
        replace: true,
      });
  }, [named, written, navigate]);
}

function useInstrumentFeed(market: Market): FeedView {
  return useVenueFeed(market.venue, useMarketStatus(market));
}

/** The tab shows the last price, renewed each second. */
function usePageTitle(instrument: Instrument, market: Market): void {
  const now_ms = useSecond();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the second is what renews it
  useEffect(() => {
    const last = market.read().tape[0];
    const name = pairOf(instrument);
    document.title = last ? `${last.price} ${name} · Tidemill` : `${name} · Tidemill`;
  }, [now_ms, instrument, market]);
}

function useChartCommands(
  instrument: string,
  interval: Interval,
  chart: React.RefObject<ChartHandle | null>,
  setTable: React.Dispatch<React.SetStateAction<boolean>>,
  showAll: () => void,
): void {
  const home = useConfig().data?.home ?? '~/.local/share/tidemill';
  const commands = useMemo((): Command[] => {
    const group = 'Chart';
    return [
      {
        id: 'chart.table',
        title: 'View as table or chart',
        group,
        keys: 'Alt+V',
        run: () => setTable((table) => !table),
      },
      {
        id: 'chart.indicator',
        title: 'Add indicator',
        group,
        keys: '/',
        words: 'study overlay average rsi macd bands',
        run: () => openPalette('indicator'),
      },
      {
        id: 'chart.all',
        title: 'Everything that is stored, or back to bars',
        group,
        keys: 'Alt+A',
        words: 'history zoom',
        run: showAll,
      },
      {
        id: 'chart.reset',
        title: 'Back to the newest bars',
        group,
        keys: 'Alt+R',
        run: () => chart.current?.reset(),
      },
      {
        id: 'chart.picture',
        title: 'Save a picture of the chart',
        group,
        keys: 'Alt+S',
        run: () => savePicture(chart.current?.picture() ?? null, `${instrument}-${interval}.png`),
      },
      {
        id: 'chart.copyPython',
        title: 'Copy as Python',
        group,
        words: 'code snippet',
        run: () => void copyText(pythonSnippet(instrument, interval), 'Python'),
      },
      {
        id: 'chart.copyCurl',
        title: 'Copy as curl',
        group,
        words: 'code snippet',
        run: () => void copyText(curlSnippet(location.origin, home, instrument, interval), 'Command'),
      },
      {
        id: 'chart.copyLink',
        title: 'Copy link to this chart',
        group,
        run: () => void copyText(location.href, 'Link'),
      },
    ];
  }, [instrument, interval, chart, setTable, showAll, home]);
  useRegister(commands);
}

function savePicture(canvas: HTMLCanvasElement | null, name: string): void {
  canvas?.toBlob((blob) => {
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    const link = document.createElement('a');
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  });
}
