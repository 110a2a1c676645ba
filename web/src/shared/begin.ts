// What a new run's form begins with: a run that was made, or a trial of a study.

import type { Backtest, StudyProgress, Trials } from '@/api/types';
import { msOfNs } from './format';
import type { Begin, ResearchCosts } from './ResearchForm';

const day = (ns: unknown): string | undefined =>
  ns === null || ns === undefined ? undefined : new Date(msOfNs(String(ns))).toISOString().slice(0, 10);

/** The last day that is a part of a time that ends there: midnight belongs to the day before. */
const lastDay = (ns: unknown): string | undefined =>
  ns === null || ns === undefined ? undefined : new Date(msOfNs(String(ns)) - 1).toISOString().slice(0, 10);

const FIELDS = ['taker', 'maker', 'spread_bps', 'slippage_bps', 'leverage'] as const;

/** Settings as a run or a study keeps them. */
function asked(settings: Record<string, unknown>): Begin {
  const costs = (settings.costs ?? {}) as Record<string, string | number>;
  const given: Partial<ResearchCosts> = {};
  for (const name of FIELDS) if (costs[name] !== undefined) given[name] = String(costs[name]);
  return {
    costs: given,
    ...(settings.cash === undefined ? {} : { cash: String(settings.cash) }),
    ...(settings.engine === 'nautilus' || settings.engine === 'fast' ? { engine: settings.engine } : {}),
    also: {
      ...(settings.limit_fill === 'through' ? { limit_fill: 'through' as const } : {}),
      ...(settings.as_recorded === true ? { as_recorded: true } : {}),
      ...(Number(costs.slippage_ticks ?? 0) > 0 ? { slippage_ticks: Number(costs.slippage_ticks) } : {}),
    },
  };
}

const textsOf = (params: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));

const spanned = (start: string | undefined, end: string | undefined) => ({
  ...(start === undefined ? {} : { start }),
  ...(end === undefined ? {} : { end }),
});

export const ofRun = (run: Backtest): Begin => ({
  from: `As the run ${run.id.slice(-6)} of ${run.strategy}, by whole days`,
  strategy: run.strategy,
  instruments: run.instruments,
  interval: run.interval,
  ...spanned(day(run.start), lastDay(run.end)),
  texts: textsOf(run.params),
  ...asked({ engine: run.engine, ...run.settings }),
});

/** Of a trial on the whole history. */
export function ofTrial(study: StudyProgress, trial: Trials['items'][number]): Begin {
  const plan = study.plan as {
    instruments: string[];
    interval: string;
    start: number | null;
    end: number | null;
    settings: Record<string, unknown>;
  };
  return {
    from: `Trial ${trial.number + 1} of a study of ${study.family}, by whole days`,
    strategy: study.family,
    instruments: plan.instruments,
    interval: plan.interval,
    ...spanned(day(plan.start), lastDay(plan.end)),
    texts: textsOf(trial.params),
    ...asked(plan.settings),
  };
}
