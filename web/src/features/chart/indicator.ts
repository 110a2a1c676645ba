// Indicators on the chart: which ones, with which parameters. Remembered by this browser, and named in the address.

import { create } from 'zustand';
import { persist } from 'zustand/middleware';
import type { Indicator, IndicatorParam } from '@/api/types';
import type { ColorName } from '@/theme/themes';

export interface Added {
  /** Tells several of one kind apart; counts up. */
  key: number;
  name: string;
  params: Record<string, number>;
  hidden: boolean;
}

interface Chosen {
  added: Added[];
}

/** More lines than this nobody can tell apart, and each is a subscription. */
export const MOST = 12;

export const useIndicators = create<Chosen>()(
  persist((): Chosen => ({ added: [] }), { name: 'tidemill.indicators', version: 1 }),
);

function set(change: (added: Added[]) => Added[]): void {
  useIndicators.setState(({ added }) => ({ added: change(added) }));
}

const nextKey = (added: Added[]): number => Math.max(0, ...added.map(({ key }) => key)) + 1;

/** False where there are as many as there may be. */
export function addIndicator(name: string, params: Record<string, number>): boolean {
  if (useIndicators.getState().added.length >= MOST) return false;
  set((added) => [...added, { key: nextKey(added), name, params, hidden: false }]);
  return true;
}

export const changeIndicator = (key: number, change: Partial<Pick<Added, 'params' | 'hidden'>>): void =>
  set((added) => added.map((one) => (one.key === key ? { ...one, ...change } : one)));

export const removeIndicator = (key: number): void => set((added) => added.filter((one) => one.key !== key));

/** Takes those of an address; what is there already keeps its key, so that nothing is read again. */
export function showIndicators(wanted: Pick<Added, 'name' | 'params'>[]): void {
  set((added) => {
    const left = [...added];
    let key = nextKey(added);
    return wanted.slice(0, MOST).map((one) => {
      const at = left.findIndex((other) => sameIndicator(one, other));
      return at >= 0 ? (left.splice(at, 1)[0] as Added) : { ...one, key: key++, hidden: false };
    });
  });
}

type Named = Pick<Added, 'name' | 'params'>;

export const sameIndicator = (a: Named, b: Named): boolean => writeOne(a) === writeOne(b);

/** `rsi(period:14)` */
function writeOne({ name, params }: Named): string {
  const given = Object.entries(params).map(([key, value]) => `${key}:${value}`);
  return given.length > 0 ? `${name}(${given.join(',')})` : name;
}

/** As it stands in the address: `rsi(period:14);ema(period:50)`. */
export const writeIndicators = (added: Named[]): string => added.map(writeOne).join(';');

const ONE = /^((?:talib:)?\w{1,40})(?:\(([^()]{0,400})\))?$/;

/** What an address names; what cannot be read in it is left out. */
export function readIndicators(text: string): Named[] {
  return text.split(';').flatMap((part) => {
    const match = ONE.exec(part);
    if (!match?.[1]) return [];
    const params: Record<string, number> = {};
    for (const pair of match[2]?.split(',') ?? []) {
      const [key, value] = pair.split(':');
      const number = Number(value);
      if (!key || !value || !Number.isFinite(number)) return [];
      params[key] = number;
    }
    return [{ name: match[1], params }];
  });
}

/** `EMA 50`, as legends say it: short names are abbreviations. */
export function indicatorLabel({ name, params }: Named): string {
  const plain = name.replace(/^talib:/, '');
  const title = plain.length <= 5 ? plain.toUpperCase() : words(plain);
  const given = Object.values(params);
  return given.length > 0 ? `${title} ${given.join(' ')}` : title;
}

/** `rolling_vwap` is `Rolling vwap`. */
export function words(name: string): string {
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const defaultsOf = (indicator: Indicator): Record<string, number> =>
  Object.fromEntries(indicator.params.map((param) => [param.name, param.default]));

/** Why a text is no value of a parameter; null where it is one. */
export function paramError(param: IndicatorParam, text: string): string | null {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) return `A number, such as ${param.default}`;
  if (param.kind === 'int' && !Number.isInteger(value)) return 'A whole number';
  const { low, high } = param;
  if ((low !== null && value < low) || (high !== null && value > high)) return rangeText(param);
  return null;
}

/** `1 to 100,000`; empty where no range is known. */
export function rangeText({ low, high }: IndicatorParam): string {
  if (low === null || high === null) return '';
  const text = (value: number) => value.toLocaleString('en-GB', { maximumFractionDigits: 6 });
  return `${text(low)} to ${text(high)}`;
}

/** Lines take these in turn; candles have the others. */
const COLORS: ColorName[] = [
  'chart.ma1',
  'chart.ma2',
  'chart.ma3',
  'state.gap',
  'upBO.default',
  'state.repaired',
];

/** The colour of an indicator's n-th output. */
export const lineColor = (place: number, output: number): ColorName =>
  COLORS[(place + output) % COLORS.length] as ColorName;

/** A value as text: as many places as prices have, or as its size asks for. */
export function valueText(value: number | null | undefined, priceScale: number | null): string {
  if (value === null || value === undefined) return '\u2014';
  const size = Math.abs(value);
  const places = priceScale ?? (size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 || size === 0 ? 2 : 5);
  const text = value.toLocaleString('en-GB', {
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  });
  return text.replace('-', '\u2212');
}
