// Columns of the list of runs: what each says, and by what it is sorted.

import type { ReactNode } from 'react';
import type { BacktestLine } from '@/api/types';
import { date, msOfNs, number, percent } from '@/shared/format';
import { chance, type Numbers, ratio, share } from './run';

export interface Column {
  id: string;
  title: string;
  width: number;
  /** Numbers stand at the right. */
  n?: true;
  /** The name by which the API sorts it. */
  sort?: string;
  /** The smallest value is the best one. */
  low?: true;
  cell(run: BacktestLine, numbers: Numbers, zone: string): ReactNode;
}

const tone = (value: number | null | undefined) => (value == null ? '' : value < 0 ? 'down' : 'up');

export const COLUMNS: Column[] = [
  {
    id: 'data',
    title: 'Data',
    width: 168,
    cell: (run) => (
      <>
        {run.instruments.join(', ')} <span className="tertiary">{run.interval}</span>
      </>
    ),
  },
  {
    id: 'period',
    title: 'Period',
    width: 176,
    cell: (run, _, zone) =>
      run.start === null || run.end === null
        ? ''
        : `${date(msOfNs(run.start), zone)} to ${date(msOfNs(run.end), zone)}`,
  },
  {
    id: 'total_return',
    title: 'Return',
    width: 80,
    n: true,
    sort: 'total_return',
    cell: (_, { total_return }) => (
      <span className={tone(total_return)}>{percent(total_return ?? null)}</span>
    ),
  },
  {
    id: 'cagr',
    title: 'CAGR',
    width: 80,
    n: true,
    sort: 'cagr',
    cell: (_, { cagr }) => percent(cagr ?? null),
  },
  {
    id: 'sharpe',
    title: 'Sharpe',
    width: 66,
    n: true,
    sort: 'sharpe',
    cell: (_, { sharpe }) => ratio(sharpe),
  },
  {
    id: 'deflated_sharpe',
    title: 'Deflated',
    width: 104,
    n: true,
    sort: 'deflated_sharpe',
    cell: (_, { deflated_sharpe: value, trials }) => (
      <span className={value != null && value < 0.95 ? 'state-stale' : ''}>
        {chance(value)}
        <span className="tertiary small"> of {number(trials ?? 1)}</span>
      </span>
    ),
  },
  {
    id: 'sortino',
    title: 'Sortino',
    width: 66,
    n: true,
    sort: 'sortino',
    cell: (_, { sortino }) => ratio(sortino),
  },
  {
    id: 'max_drawdown',
    title: 'Drawdown',
    width: 82,
    n: true,
    sort: 'max_drawdown',
    cell: (_, { max_drawdown }) => share(max_drawdown),
  },
  {
    id: 'volatility',
    title: 'Volatility',
    width: 78,
    n: true,
    sort: 'volatility',
    low: true,
    cell: (_, { volatility }) => share(volatility),
  },
  {
    id: 'profit_factor',
    title: 'PF',
    width: 54,
    n: true,
    sort: 'profit_factor',
    cell: (_, { profit_factor }) => ratio(profit_factor),
  },
  {
    id: 'win_rate',
    title: 'Win rate',
    width: 70,
    n: true,
    sort: 'win_rate',
    cell: (_, { win_rate }) => share(win_rate),
  },
  {
    id: 'trades',
    title: 'Trades',
    width: 62,
    n: true,
    sort: 'trades',
    cell: (_, { trades }) => number(trades),
  },
  {
    id: 'exposure',
    title: 'In market',
    width: 76,
    n: true,
    sort: 'exposure',
    cell: (_, { exposure }) => share(exposure, 0),
  },
  {
    id: 'turnover',
    title: 'Turnover',
    width: 76,
    n: true,
    sort: 'turnover',
    low: true,
    cell: (_, { turnover }) => number(turnover, 1),
  },
  {
    id: 'costs',
    title: 'Costs',
    width: 76,
    n: true,
    sort: 'costs',
    low: true,
    cell: (_, { costs }) => number(costs),
  },
  { id: 'engine', title: 'Engine', width: 74, cell: ({ engine }) => engine },
  {
    id: 'duration_s',
    title: 'Took',
    width: 70,
    n: true,
    sort: 'duration_s',
    low: true,
    cell: ({ duration_s }) => `${number(duration_s, 2)} s`,
  },
  {
    id: 'created',
    title: 'When',
    width: 96,
    sort: 'created',
    cell: ({ created }, _, zone) => <span className="secondary">{date(msOfNs(created), zone)}</span>,
  },
];

export const USUAL = [
  'data',
  'total_return',
  'sharpe',
  'deflated_sharpe',
  'max_drawdown',
  'profit_factor',
  'trades',
  'created',
];
const NARROW = ['total_return', 'sharpe', 'deflated_sharpe'];

/** Those that are shown, in the order of `COLUMNS`; a name that there is not is left out. */
export function shownColumns(text: string | undefined, phone: boolean): Column[] {
  const names = text === undefined ? (phone ? NARROW : USUAL) : text.split(',');
  return COLUMNS.filter(({ id }) => names.includes(id));
}
