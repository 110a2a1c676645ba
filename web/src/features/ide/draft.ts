// Texts that were changed and are not saved, by the strategy's name. They live as long as the page does.

import { create } from 'zustand';
import type { Strategy } from '@/api/types';

export interface Draft {
  text: string;
  /** What it was when the change began: nothing is unsaved where they are the same. */
  base: string;
  /** The version that was changed. */
  version: number;
}

interface Drafts {
  drafts: Record<string, Draft>;
  /** The last one that was deleted, so that it can come back. */
  deleted: Strategy | null;
}

export const useDrafts = create<Drafts>(() => ({ drafts: {}, deleted: null }));

/** The text as it is typed. One that is as it was needs no draft. */
export function keepDraft(drafts: Drafts['drafts'], strategy: Strategy, text: string): Drafts['drafts'] {
  const before = drafts[strategy.name];
  const base = before?.base ?? strategy.code;
  const { [strategy.name]: _, ...others } = drafts;
  if (text === base) return before ? others : drafts;
  return { ...others, [strategy.name]: { text, base, version: before?.version ?? strategy.version ?? 0 } };
}

export const typed = (strategy: Strategy, text: string): void =>
  useDrafts.setState(({ drafts }) => ({ drafts: keepDraft(drafts, strategy, text) }));

export const forget = (name: string): void =>
  useDrafts.setState(({ drafts: { [name]: _, ...drafts } }) => ({ drafts }));

export const forgetAll = (): void => useDrafts.setState({ drafts: {} });

export const setDeleted = (deleted: Strategy | null): void => useDrafts.setState({ deleted });
