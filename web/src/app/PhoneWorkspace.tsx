import { ChevronDown } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { Instrument } from '@/api/types';
import { DepthLadder } from '@/features/book/DepthLadder';
import type { ShownBar } from '@/features/chart/ChartPanel';
import { barChange } from '@/features/chart/Legend';
import { PhoneIntervals } from '@/features/chart/Toolbar';
import { TradesTape } from '@/features/trades/TradesTape';
import { useSecond } from '@/shared/clock';
import { openPalette } from '@/shared/command';
import { toNumber } from '@/shared/decimal';
import { FeedWord } from '@/shared/FeedWord';
import { type FeedView, isCurrent } from '@/shared/feed-state';
import { mantissaText, NONE, number, percent } from '@/shared/format';
import type { Interval } from '@/shared/interval';
import type { Market } from '@/shared/market';
import { pairOf } from '@/shared/market';
import { useSetPhoneTitle } from '@/shared/phone-title';

const PHONE_TABS = ['Chart', 'Depth', 'Trades'] as const;

/** The chart on a narrow screen: one pane at a time, the price always above it. */
export function PhoneWorkspace(props: {
  instrument: Instrument;
  interval: Interval;
  market: Market;
  view: FeedView;
  all: boolean;
  pick(interval: Interval): void;
  panel(onBar: (shown: ShownBar) => void): React.ReactNode;
}) {
  const { instrument, interval, market, view, all, pick, panel } = props;
  const [tab, setTab] = useState<(typeof PHONE_TABS)[number]>('Chart');
  const [shown, setShown] = useState<ShownBar>({
    bar: null,
    priceScale: instrument.price_scale,
    sizeScale: instrument.size_scale,
  });
  const title = useMemo(
    () => (
      <h1>
        <button type="button" className="row phone-name" onClick={() => openPalette('instrument')}>
          {pairOf(instrument)} <span className="tertiary small">{instrument.venue}</span>
          <ChevronDown size={14} strokeWidth={2} className="tertiary" aria-hidden />
        </button>
      </h1>
    ),
    [instrument],
  );
  useSetPhoneTitle(title);
  return (
    <>
      <PhoneQuote shown={shown} view={view} />
      {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
      <div className="intervals-phone" role="group" aria-label="View">
        {PHONE_TABS.map((value) => (
          <button key={value} type="button" aria-pressed={value === tab} onClick={() => setTab(value)}>
            {value}
          </button>
        ))}
      </div>
      {tab === 'Chart' && <PhoneIntervals interval={interval} all={all} pickInterval={pick} />}
      <div className="phone-pane">
        {/* Stays in the page behind the other tabs: the price above is its. */}
        <div className="phone-chart" hidden={tab !== 'Chart'}>
          {panel(setShown)}
        </div>
        {tab === 'Depth' && <DepthLadder market={market} instrument={instrument} view={view} />}
        {tab === 'Trades' && <TradesTape market={market} instrument={instrument} view={view} />}
      </div>
    </>
  );
}

/** Prices of more places than this leave no room for the change in price and the volume. */
const SHORT_PLACES = 6;

function PhoneQuote({ shown, view }: { shown: ShownBar; view: FeedView }) {
  const { bar, priceScale: scale, sizeScale } = shown;
  const now_ms = useSecond();
  const price = (value: bigint | undefined) => (value === undefined ? NONE : mantissaText(value, scale));
  const change = bar ? barChange(bar, scale) : null;
  const current = isCurrent(view);
  return (
    <div className={`phone-quote ${current ? '' : 'old'}`}>
      <div className="row phone-price">
        <span className="hero">{price(bar?.close)}</span>
        {change && (
          <span className={`small medium ${current ? change.tone : 'tertiary'}`}>
            {scale <= SHORT_PLACES && `${change.text} `}
            {percent(change.ratio)}
          </span>
        )}
        <span className="space" />
        <span className="micro">
          <FeedWord view={view} now_ms={now_ms} />
        </span>
      </div>
      <div className="row small phone-ohlc">
        <span>
          <span className="tertiary">O</span> {price(bar?.open)}
        </span>
        <span>
          <span className="tertiary">H</span> {price(bar?.high)}
        </span>
        <span>
          <span className="tertiary">L</span> {price(bar?.low)}
        </span>
        {scale <= SHORT_PLACES && (
          <span>
            <span className="tertiary">V</span> {bar ? number(toNumber(bar.volume, sizeScale), 2) : NONE}
          </span>
        )}
      </div>
    </div>
  );
}
