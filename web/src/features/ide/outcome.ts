// What came of the last run and the last check of each strategy, kept while the page lives.

import { create } from 'zustand';
import type { ErrorBody, StrategyCheck } from '@/api/types';

export interface Outcome {
  /** Something is on its way to the platform. */
  asking?: boolean;
  job?: string | null;
  /** The run that is shown. */
  run?: string | null;
  error?: Failure | null;
  /** The text that it was run with: marks of another text would lie. */
  text?: string;
}

export interface Checked {
  busy?: boolean;
  result?: StrategyCheck | null;
  error?: Failure | null;
  text?: string;
}

export type Failure = Pick<ErrorBody, 'message'> & Partial<ErrorBody>;

export const useOutcomes = create<{ runs: Record<string, Outcome>; checks: Record<string, Checked> }>(() => ({
  runs: {},
  checks: {},
}));

export const setOutcome = (name: string, outcome: Outcome): void =>
  useOutcomes.setState(({ runs }) => ({ runs: { ...runs, [name]: outcome } }));

export const setChecked = (name: string, checked: Checked): void =>
  useOutcomes.setState(({ checks }) => ({ checks: { ...checks, [name]: checked } }));
