// The kinds of alerts as a form asks for them, and what was typed as terms.

import type { AlertTerms } from '@/api/types';

export type KindName = AlertTerms['kind'];

export interface FieldOf {
  name: string;
  label: string;
  /** What it holds before anything is typed. */
  value: string;
  /** Words to choose from; a text where there are none. */
  choices?: readonly string[];
  /** A number above this one. */
  above?: number;
  /** May be left empty. */
  optional?: boolean;
  hint?: string;
}

const DIRECTIONS = ['either', 'above', 'below'] as const;
const instrument: FieldOf = { name: 'instrument', label: 'Instrument', value: '' };
const venue: FieldOf = {
  name: 'venue',
  label: 'Venue',
  value: '',
  optional: true,
  hint: 'empty: every venue',
};
const direction: FieldOf = { name: 'direction', label: 'Direction', value: 'either', choices: DIRECTIONS };
const level: FieldOf = { name: 'level', label: 'Level', value: '' };
const interval: FieldOf = { name: 'interval', label: 'Interval', value: '1m' };
const lasting = (seconds: number): FieldOf => ({
  name: 'for_s',
  label: 'For, seconds',
  value: String(seconds),
  above: 0,
});

export const KINDS: { kind: KindName; title: string; about: string; fields: FieldOf[] }[] = [
  {
    kind: 'price',
    title: 'Price',
    about: 'A trade goes through a level.',
    fields: [instrument, direction, level],
  },
  {
    kind: 'indicator',
    title: 'Indicator',
    about: 'An indicator goes through a level, on bars that have closed.',
    fields: [
      instrument,
      interval,
      { name: 'indicator', label: 'Indicator', value: 'rsi(period=14)', hint: 'as rsi(period=14)' },
      direction,
      level,
    ],
  },
  {
    kind: 'volume',
    title: 'Volume',
    about: 'A bar has far more volume than those before it.',
    fields: [
      instrument,
      interval,
      { name: 'factor', label: 'Times the median', value: '5', above: 1 },
      { name: 'bars', label: 'Of the bars before', value: '30', above: 1 },
    ],
  },
  {
    kind: 'stale',
    title: 'Silent venue',
    about: 'A venue that is collected says nothing, or its collector is not live.',
    fields: [venue, { name: 'after_s', label: 'After, seconds', value: '30', above: 0 }],
  },
  { kind: 'gap', title: 'Gap', about: 'A hole opens in what is collected.', fields: [venue] },
  {
    kind: 'lag',
    title: 'Late messages',
    about: 'The slowest hundredth of the messages is late.',
    fields: [venue, { name: 'above_ms', label: 'Over, milliseconds', value: '1000', above: 0 }, lasting(10)],
  },
  {
    kind: 'queue',
    title: 'Queue',
    about: 'More waits than should.',
    fields: [
      { name: 'part', label: 'Of', value: 'recorder', choices: ['recorder', 'jobs'] },
      { name: 'above', label: 'More than', value: '100000', above: 0 },
      lasting(30),
    ],
  },
  {
    kind: 'job',
    title: 'Failed job',
    about: 'A job fails, or is given up.',
    fields: [{ name: 'job_kind', label: 'Kind of job', value: '', optional: true, hint: 'empty: any' }],
  },
  {
    kind: 'part',
    title: 'Platform',
    about: 'A part that is wanted is not ready: a collector, the recorder, the disk, the database.',
    fields: [{ name: 'part', label: 'Part', value: '', optional: true, hint: 'empty: any' }, lasting(15)],
  },
];

export const kindOf = (kind: KindName) => KINDS.find((one) => one.kind === kind) ?? KINDS[0];

const NUMBERS = new Set(['factor', 'bars', 'after_s', 'above_ms', 'above', 'for_s']);

/** What is wrong with a field; null where nothing is. */
export function fault(field: FieldOf, text: string): string | null {
  const value = text.trim();
  if (value === '') return field.optional ? null : `${field.label} is needed.`;
  if (field.above !== undefined && !(Number(value) > field.above))
    return `${field.label}: a number above ${field.above}.`;
  if (field.name === 'level' && !/^-?\d{1,19}(\.\d{1,18})?$/.test(value)) return 'Level: a plain number.';
  if (field.name === 'indicator' && parseLine(value) === null)
    return 'Indicator: a name and its parameters, such as rsi(period=14).';
  return null;
}

/** `macd(fast=12, slow=26).signal` as the platform takes it; null where it is not written so. */
export function parseLine(
  text: string,
): { indicator: string; params: Record<string, number>; output?: string } | null {
  const found = /^([\w:]+)(?:\(([^()]*)\))?(?:\.(\w+))?$/.exec(text.replace(/\s+/g, ''));
  if (!found?.[1]) return null;
  const params: Record<string, number> = {};
  for (const pair of (found[2] ?? '').split(',').filter((one) => one !== '')) {
    const [name, value] = pair.split('=');
    if (!name || !value || !Number.isFinite(Number(value))) return null;
    params[name] = Number(value);
  }
  return { indicator: found[1], params, ...(found[3] ? { output: found[3] } : {}) };
}

/** The terms of what was typed. Every field is without fault. */
export function termsOf(kind: KindName, texts: Record<string, string>): AlertTerms {
  const terms: Record<string, unknown> = { kind };
  for (const field of kindOf(kind)?.fields ?? []) {
    const text = (texts[field.name] ?? field.value).trim();
    if (text === '') continue;
    if (field.name === 'indicator') terms.line = parseLine(text);
    else if (NUMBERS.has(field.name) || (kind === 'indicator' && field.name === 'level'))
      terms[field.name] = Number(text);
    else terms[field.name] = text;
  }
  return terms as unknown as AlertTerms;
}
