// A unit that keeps a column of sizes readable: written once in its head, not in every row.

import { useRef } from 'react';
import { parseDecimal, toNumber } from './decimal';
import { decimal, number } from './format';

export interface Unit {
  /** `M`; empty where sizes are shown as they are. */
  name: string;
  factor: number;
}

/** From which size on a column is shown in a unit: longer numbers would not fit beside their price. */
const UNITS: [from: number, unit: Unit][] = [
  [1e13, { name: 'T', factor: 1e12 }],
  [1e10, { name: 'G', factor: 1e9 }],
  [1e6, { name: 'M', factor: 1e6 }],
];
const ONE: Unit = { name: '', factor: 1 };
const PLACES = 3;

export function unitFor(most: number): Unit {
  return UNITS.find(([from]) => most >= from)?.[1] ?? ONE;
}

/** The unit of the largest size seen under this name: it grows, and never jumps back and forth. */
export function useUnit(name: string, most: number): Unit {
  const seen = useRef({ name, most: 0 });
  if (seen.current.name !== name) seen.current = { name, most: 0 };
  if (most > seen.current.most) seen.current.most = most;
  return unitFor(seen.current.most);
}

/** Exact where it fits, else in the column's unit, rounded. */
export function sizeText(size: string, places: number, unit: Unit): string {
  if (unit.factor === 1) return decimal(size, places);
  const exact = parseDecimal(size);
  return number(toNumber(exact.mantissa, exact.scale) / unit.factor, PLACES);
}

export const sumText = (sum: number, places: number, unit: Unit): string =>
  number(sum / unit.factor, unit.factor === 1 ? Math.min(places, PLACES) : PLACES);

export const unitHead = (head: string, unit: Unit): string =>
  unit.name === '' ? head : `${head}, ${unit.name}`;
