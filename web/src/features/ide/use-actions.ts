// What can be done with a strategy: saved, run, checked. Buttons, keys and the palette call the same.

import { useMemo } from 'react';
import { api } from '@/api/client';
import type { BacktestAsk, Strategy } from '@/api/types';
import { valuesOf } from '@/shared/ParamFields';
import { toast } from '@/shared/toast';
import { useDrafts } from './draft';
import { setChecked, setOutcome, useOutcomes } from './outcome';
import { useKeep } from './queries';
import { failureOf } from './Refusal';
import { useSetup } from './setup';

export interface Actions {
  save(): Promise<Strategy | null>;
  run(): Promise<void>;
  check(stored: boolean): Promise<void>;
}

/** `ask` is the backtest as it is set up, `wrong` what keeps it from being run. */
export function useActions(given: {
  strategy: Strategy;
  text: string;
  ask: BacktestAsk;
  wrong: string | null;
  show(tab: 'result' | 'checks'): void;
}): Actions & { keep: ReturnType<typeof useKeep> } {
  const keep = useKeep();
  const { strategy, text, ask, wrong, show } = given;
  const { name } = strategy;
  const editable = strategy.origin === 'database';
  const saving = keep.save.mutateAsync;
  const actions = useMemo((): Actions => {
    const save = async () => {
      const draft = useDrafts.getState().drafts[name];
      if (!editable) {
        toast('It cannot be changed here. Copy it to edit it.', 'bad');
        return null;
      }
      if (!draft) return strategy;
      try {
        const saved = await saving({ name, code: draft.text, version: draft.version });
        toast(`${name} is saved as version ${saved.version}`);
        return saved;
      } catch (error) {
        const { message, hint } = failureOf(error);
        toast(`It was not saved: ${hint ? `${message}; ${hint}` : message}`, 'bad');
        return null;
      }
    };
    return {
      save,
      async run() {
        show('result');
        const now = useOutcomes.getState().runs[name];
        if (now?.asking || now?.job) return;
        if (wrong !== null) {
          toast(wrong, 'bad');
          return;
        }
        setOutcome(name, { asking: true, text });
        // A run is of a version that is kept, so that it can be run again.
        if (useDrafts.getState().drafts[name] && (await save()) === null) {
          setOutcome(name, {});
          return;
        }
        try {
          const { run, job_id } = await api.runBacktest(ask);
          setOutcome(name, { job: run ? null : job_id, run: run?.id ?? null, text });
        } catch (error) {
          setOutcome(name, { error: failureOf(error), text });
        }
      },
      async check(stored) {
        show('checks');
        if (useOutcomes.getState().checks[name]?.busy) return;
        setChecked(name, { busy: true, text });
        const texts = useSetup.getState().params[name] ?? {};
        try {
          const result = await api.checkStrategy({
            code: text,
            name,
            parameters: valuesOf(strategy.params, texts),
            ...(stored ? { instruments: ask.instruments, interval: ask.interval ?? '1m' } : {}),
          });
          setChecked(name, { result, text });
        } catch (error) {
          setChecked(name, { error: failureOf(error), text });
        }
      },
    };
  }, [name, editable, strategy, text, ask, wrong, show, saving]);
  return { ...actions, keep };
}
