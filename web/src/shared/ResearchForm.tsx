import { type ReactNode, useState } from 'react';
import type { StrategySummary } from '@/api/types';
import { ErrorState, SkeletonRows } from './Panel';
import { fits, ParamFields } from './ParamFields';
import { useInstruments, useStrategies } from './queries';
import './form.css';

const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];

export interface Research {
  strategy: StrategySummary;
  instruments: string[];
  interval: string;
  start: string;
  end: string;
  texts: Record<string, string>;
  costs: ResearchCosts;
  cash: string;
  engine: 'fast' | 'nautilus';
}

export interface ResearchCosts {
  taker: string;
  maker: string;
  spread_bps: string;
  slippage_bps: string;
  leverage: string;
}

/** What the form begins with, of what was asked before: a run that is cloned, a trial that is promoted. */
export type Begin = Partial<Omit<Research, 'strategy' | 'costs'>> & {
  strategy?: string;
  costs?: Partial<ResearchCosts>;
  /** What has no field of its own and is asked for as it was. */
  also?: { limit_fill?: 'touch' | 'through'; as_recorded?: boolean; slippage_ticks?: number };
  /** Where it comes from, in words. */
  from?: string;
};

/** Half a hundredth and a half more: what trading usually costs at least, so that nothing looks free. */
const COSTS: ResearchCosts = {
  taker: '0.001',
  maker: '0',
  spread_bps: '0',
  slippage_bps: '1',
  leverage: '1',
};
const CASH = '100000';
const NUMBER = /^-?\d+(\.\d+)?$/;

const isShare = (text: string, most: number): boolean => /^\d+(\.\d+)?$/.test(text) && Number(text) <= most;

/** What both a backtest and a study ask: a strategy, what it runs on, and what trading costs. */
export function ResearchForm(props: {
  /** What a link brought along. */
  begin?: Begin | undefined;
  /** Parameters are given as ranges by the caller instead. */
  ranges?: boolean;
  busy: boolean;
  action: string;
  more?: (strategy: StrategySummary) => ReactNode;
  /** What is wrong with what `more` asks; null where nothing is. */
  wrong?: string | null;
  start(research: Research): void;
}) {
  const { begin = {} } = props;
  const strategies = useStrategies();
  const { data: instruments } = useInstruments();
  const [name, setName] = useState<string | null>(begin.strategy ?? null);
  const [instrument, setInstrument] = useState(begin.instruments?.[0] ?? '');
  const [others, setOthers] = useState(begin.instruments?.slice(1).join(' ') ?? '');
  const [interval, setInterval] = useState(begin.interval ?? '1m');
  const [start, setStart] = useState(begin.start ?? '');
  const [end, setEnd] = useState(begin.end ?? '');
  const [texts, setTexts] = useState<Record<string, string>>(begin.texts ?? {});
  const [costs, setCosts] = useState<ResearchCosts>({ ...COSTS, ...begin.costs });
  const [cash, setCash] = useState(begin.cash ?? CASH);
  const [engine, setEngine] = useState<Research['engine']>(begin.engine ?? 'fast');
  if (strategies.error && !strategies.data) {
    return <ErrorState what="Strategies" error={strategies.error} retry={() => void strategies.refetch()} />;
  }
  if (!strategies.data) return <SkeletonRows rows={5} />;
  const usable = strategies.data.items.filter(({ faults, kind }) => faults.length === 0 && kind !== null);
  const strategy =
    usable.find((one) => one.name === name) ?? usable.find((one) => one.name === 'sma_cross') ?? usable[0];
  if (!strategy)
    return <p className="panel-body">No strategy can be run. `tidemill strategy new` writes one.</p>;
  const first = instrument || instruments?.[0]?.instrument || '';
  const names = [first, ...others.split(/[\s,]+/)].filter((one) => one !== '');
  const wrong =
    props.wrong ??
    (first === ''
      ? 'Name an instrument.'
      : !isShare(costs.taker, 0.1) || !isShare(costs.slippage_bps, 10_000)
        ? 'Costs are numbers: a fee up to 0.1, slippage up to 10,000.'
        : !NUMBER.test(costs.maker) || !isShare(costs.spread_bps, 10_000) || !isShare(costs.leverage, 100)
          ? 'Costs are numbers: spread up to 10,000, leverage up to 100.'
          : !(isShare(cash, 1e15) && Number(cash) > 0)
            ? 'Money at the start is a number above 0.'
            : start !== '' && end !== '' && start > end
              ? 'The first day lies after the last.'
              : !props.ranges &&
                  strategy.params.some((param) => texts[param.name] && !fits(param, texts[param.name] ?? ''))
                ? 'A parameter is out of its range.'
                : null);
  return (
    <form
      className="form panel-body"
      onSubmit={(event) => {
        event.preventDefault();
        if (wrong === null)
          props.start({ strategy, instruments: names, interval, start, end, texts, costs, cash, engine });
      }}
    >
      {begin.from && (
        <p className="small secondary" role="status">
          {begin.from}
          {alsoText(begin)}
        </p>
      )}
      <label className="field">
        <span>Strategy</span>
        <select
          value={strategy.name}
          onChange={({ target }) => {
            setName(target.value);
            setTexts({});
          }}
        >
          {usable.map((one) => (
            <option key={one.name} value={one.name}>
              {one.title || one.name}
            </option>
          ))}
        </select>
        <span className="field-hint">{strategy.description.split('\n')[0]}</span>
      </label>
      {!props.ranges && strategy.params.length > 0 && (
        <ParamFields
          params={strategy.params}
          texts={texts}
          set={(param, text) => setTexts((old) => ({ ...old, [param]: text }))}
        />
      )}
      {props.more?.(strategy)}
      <div className="form-row">
        <label className="field">
          <span>Instrument</span>
          <input
            list="research-instruments"
            placeholder={first || 'BTC-USD.kraken'}
            value={instrument}
            onChange={({ target }) => setInstrument(target.value.trim())}
          />
          <datalist id="research-instruments">
            {instruments?.map((one) => (
              <option key={one.instrument} value={one.instrument} />
            ))}
          </datalist>
        </label>
        <label className="field">
          <span>Others beside it</span>
          <input placeholder="none" value={others} onChange={({ target }) => setOthers(target.value)} />
        </label>
        <label className="field">
          <span>Interval</span>
          <select value={interval} onChange={({ target }) => setInterval(target.value)}>
            {INTERVALS.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      </div>
      <div className="form-row">
        <label className="field">
          <span>First day, UTC</span>
          <input type="date" value={start} onChange={({ target }) => setStart(target.value)} />
        </label>
        <label className="field">
          <span>Last day, UTC</span>
          <input type="date" value={end} onChange={({ target }) => setEnd(target.value)} />
        </label>
      </div>
      <div className="form-row">
        <label className="field">
          <span>Fee, a share</span>
          <input
            inputMode="decimal"
            value={costs.taker}
            aria-invalid={!isShare(costs.taker, 0.1)}
            onChange={({ target }) => setCosts({ ...costs, taker: target.value })}
          />
        </label>
        <label className="field">
          <span>Slippage, bps</span>
          <input
            inputMode="decimal"
            value={costs.slippage_bps}
            aria-invalid={!isShare(costs.slippage_bps, 10_000)}
            onChange={({ target }) => setCosts({ ...costs, slippage_bps: target.value })}
          />
        </label>
      </div>
      <details className="form-more" open={moreOf(begin)}>
        <summary className="small">More: spread, leverage, money, engine</summary>
        <div className="form-row">
          {(
            [
              ['spread_bps', 'Spread, bps'],
              ['maker', 'Fee at rest, a share'],
              ['leverage', 'Most leverage'],
            ] as const
          ).map(([field, words]) => (
            <label className="field" key={field}>
              <span>{words}</span>
              <input
                inputMode="decimal"
                value={costs[field]}
                aria-invalid={!NUMBER.test(costs[field])}
                onChange={({ target }) => setCosts({ ...costs, [field]: target.value })}
              />
            </label>
          ))}
        </div>
        <div className="form-row">
          <label className="field">
            <span>Money at the start</span>
            <input inputMode="decimal" value={cash} onChange={({ target }) => setCash(target.value)} />
          </label>
          {!props.ranges && (
            <label className="field">
              <span>Engine</span>
              <select value={engine} onChange={({ target }) => setEngine(target.value as Research['engine'])}>
                <option value="fast">fast</option>
                <option value="nautilus">nautilus</option>
              </select>
            </label>
          )}
        </div>
      </details>
      <div className="row">
        <button type="submit" className="button primary" disabled={props.busy || wrong !== null}>
          {props.busy ? 'Running' : props.action}
        </button>
        {wrong !== null && <span className="field-error">{wrong}</span>}
      </div>
    </form>
  );
}

/** What is asked for as it was, though no field shows it. */
function alsoText({ also = {} }: Begin): string {
  const words = [
    also.limit_fill === 'through' ? 'limit orders are done once their price is passed' : '',
    also.as_recorded ? 'bars count from when this platform had them' : '',
    also.slippage_ticks ? `slippage of ${also.slippage_ticks} ticks` : '',
  ].filter((text) => text !== '');
  return words.length > 0 ? `. Kept as it was: ${words.join(', ')}.` : '';
}

/** Something that only the folded part shows is not as usual. */
const moreOf = ({ costs = {}, cash, engine }: Begin): boolean =>
  (['spread_bps', 'maker', 'leverage'] as const).some(
    (name) => costs[name] !== undefined && Number(costs[name]) !== Number(COSTS[name]),
  ) ||
  (cash !== undefined && Number(cash) !== Number(CASH)) ||
  (engine !== undefined && engine !== 'fast');

/** A day of the form as a time of the API: the last day is whole. */
export const spanOf = ({
  start,
  end,
}: Pick<Research, 'start' | 'end'>): { start?: string; end?: string } => ({
  ...(start === '' ? {} : { start: `${start}T00:00:00Z` }),
  ...(end === '' ? {} : { end: new Date(Date.parse(`${end}T00:00:00Z`) + 86_400_000).toISOString() }),
});
