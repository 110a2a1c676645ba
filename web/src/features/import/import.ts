// What a person says about a file that is imported: the few things a guess may get wrong.

import type { ImportPreview } from '@/api/types';

/** Fields of a recipe that the wizard asks for; the others keep what was guessed. */
export interface Said {
  kind?: string;
  instrument?: string;
  interval?: string;
  zone?: string;
  at?: string;
  /** Role to column. */
  fields?: Record<string, string>;
}

export const KINDS = ['bars', 'trades', 'quotes'] as const;

/** What each kind needs of a file, and may have besides. */
export const ROLES: Record<string, { needed: string[]; more: string[] }> = {
  bars: { needed: ['time', 'open', 'high', 'low', 'close'], more: ['volume', 'trades', 'symbol'] },
  trades: {
    needed: ['time', 'price', 'size'],
    more: ['aggressor', 'id', 'conditions', 'exchange', 'symbol'],
  },
  quotes: { needed: ['time', 'bid', 'ask'], more: ['bid_size', 'ask_size', 'symbol'] },
};

/** The draft with what was said on top, as the screen shows it. */
export function shownOf(preview: ImportPreview, said: Said): Required<Said> {
  const draft = preview.draft as Record<string, unknown>;
  const text = (name: keyof Said): string => String(said[name] ?? draft[name] ?? '');
  return {
    kind: text('kind'),
    instrument: text('instrument'),
    interval: text('interval'),
    zone: text('zone'),
    at: text('at'),
    fields: said.fields ?? (draft.fields as Record<string, string> | undefined) ?? {},
  };
}

/** Everything that must be known is. */
export const isReady = (preview: ImportPreview): boolean =>
  preview.recipe !== null && preview.open.length === 0;

/** How sure the guess is, in a word. */
export function sureness(confidence: number): string {
  if (confidence >= 0.9) return 'known layout';
  return confidence >= 0.5 ? 'likely' : 'unsure';
}
