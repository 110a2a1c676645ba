// Strategies as files of the editor.

import type { StrategySummary } from '@/api/types';

export type Origin = StrategySummary['origin'];

export const GROUPS: { origin: Origin; title: string; note: string }[] = [
  { origin: 'database', title: 'Yours', note: 'kept in versions' },
  { origin: 'folder', title: 'Folder', note: 'files, read only' },
  { origin: 'builtin', title: 'Examples', note: 'read only' },
];

export const isName = (name: string): boolean => /^[a-z][a-z0-9_]{0,63}$/.test(name);

/** A name for a copy that nobody has: `my_sma_cross`, `my_sma_cross_2`. */
export function copyName(name: string, taken: Iterable<string>): string {
  const known = new Set(taken);
  const base = (name.startsWith('my_') ? name : `my_${name}`).slice(0, 60);
  let found = base;
  for (let at = 2; known.has(found) && at < 1000; at++) found = `${base}_${at}`;
  return found;
}

/** Those of a group that fit the words, by name. */
export function ofGroup(items: StrategySummary[], origin: Origin, search: string): StrategySummary[] {
  const words = search.toLowerCase().split(/\s+/);
  return items
    .filter(
      (one) =>
        one.origin === origin &&
        words.every((word) => `${one.name} ${one.title} ${one.description}`.toLowerCase().includes(word)),
    )
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** The line of its own code that an error speaks of: `… at mine.py:12`. */
export function lineOf(message: string, name: string): number | null {
  const found = new RegExp(`\\b${name}\\.py:(\\d+)`).exec(message) ?? /\bline (\d+)\b/.exec(message);
  return found ? Number(found[1]) : null;
}
