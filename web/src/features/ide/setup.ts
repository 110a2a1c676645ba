// What strategies are run on, kept while the page lives: the same for all of them, but for their parameters.

import { create } from 'zustand';
import { apiPath } from '@/api/client';
import type { BacktestAsk, StrategyParam } from '@/api/types';
import { fits, valuesOf } from '@/shared/ParamFields';

export interface Setup {
  instrument: string;
  /** Further instruments, by commas or spaces. */
  others: string;
  interval: string;
  start: string;
  end: string;
  taker: string;
  slippage_bps: string;
  /** Texts of the parameters' fields, by the strategy's name. */
  params: Record<string, Record<string, string>>;
}

export const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];

/** What trading usually costs at least, so that nothing looks free. */
export const useSetup = create<Setup>(() => ({
  instrument: '',
  others: '',
  interval: '1m',
  start: '',
  end: '',
  taker: '0.001',
  slippage_bps: '1',
  params: {},
}));

export const instrumentsOf = ({ instrument, others }: Setup, first: string): string[] =>
  [instrument || first, ...others.split(/[\s,]+/)].filter((one) => one !== '');

const isShare = (text: string, most: number): boolean => /^\d+(\.\d+)?$/.test(text) && Number(text) <= most;

/** What keeps it from being run; null where nothing does. */
export function wrongOf(setup: Setup, first: string, name: string, params: StrategyParam[]): string | null {
  if (instrumentsOf(setup, first).length === 0) return 'Name an instrument.';
  if (!isShare(setup.taker, 0.1) || !isShare(setup.slippage_bps, 10_000))
    return 'Costs are numbers: a fee up to 0.1, slippage up to 10,000.';
  if (setup.start !== '' && setup.end !== '' && setup.start > setup.end)
    return 'The first day lies after the last.';
  const texts = setup.params[name] ?? {};
  const off = params.find((param) => texts[param.name] && !fits(param, texts[param.name] ?? ''));
  return off ? `${off.name} is out of its range.` : null;
}

/** The backtest that is asked for. */
export function askOf(setup: Setup, first: string, name: string, params: StrategyParam[]): BacktestAsk {
  return {
    strategy: name,
    instruments: instrumentsOf(setup, first),
    interval: setup.interval,
    ...(setup.start === '' ? {} : { start: `${setup.start}T00:00:00Z` }),
    // The last day is whole.
    ...(setup.end === ''
      ? {}
      : { end: new Date(Date.parse(`${setup.end}T00:00:00Z`) + 86_400_000).toISOString() }),
    params: valuesOf(params, setup.params[name] ?? {}),
    costs: { taker: setup.taker, slippage_bps: setup.slippage_bps },
  };
}

const python = (value: unknown): string =>
  value === true ? 'True' : value === false ? 'False' : JSON.stringify(value);

/** The same backtest by program: text that runs as it is pasted. */
export function pythonSnippet({ strategy, instruments, interval, start, end, params, costs }: BacktestAsk) {
  const words = [
    python(strategy),
    python(instruments.length === 1 ? instruments[0] : instruments),
    python(interval),
    ...(start ? [`start=${python(start)}`] : []),
    ...(end ? [`end=${python(end)}`] : []),
    ...(costs ? [`costs=${python(costs)}`] : []),
    ...Object.entries(params ?? {}).map(([name, value]) => `${name}=${python(value)}`),
  ];
  return [
    'import tidemill as tm',
    '',
    'td = tm.connect()',
    `run = td.backtest(${words.join(', ')})`,
    'print(run.stats)',
    '',
  ].join('\n');
}

/** The token stays in its file: it never enters the clipboard. */
export function curlSnippet(origin: string, home: string, ask: BacktestAsk): string {
  const body = JSON.stringify(ask).replaceAll("'", "'\\''");
  return (
    `curl -H "Authorization: Bearer $(cat '${home}/token')" -H 'Content-Type: application/json' ` +
    `-d '${body}' '${origin}${apiPath('/backtests')}'\n`
  );
}
