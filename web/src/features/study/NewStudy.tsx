import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '@/api/client';
import type { StrategySummary } from '@/api/types';
import { ErrorState, Panel } from '@/shared/Panel';
import { type Begin, type Research, ResearchForm, spanOf } from '@/shared/ResearchForm';
import { rangeFault, rangeOf, spaceOf } from './study';

const SAMPLERS = ['grid', 'random', 'tpe', 'cmaes'] as const;
const OBJECTIVES = [
  ['sharpe', 'Sharpe ratio'],
  ['total_return', 'total return'],
  ['calmar', 'Calmar ratio'],
  ['sortino', 'Sortino ratio'],
] as const;

/** Asks for a study and goes to it at once. */
export function NewStudy({ begin, open }: { begin?: Begin | undefined; open(id: string): void }) {
  const client = useQueryClient();
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [sampler, setSampler] = useState<(typeof SAMPLERS)[number]>('grid');
  const [trials, setTrials] = useState('100');
  const [objective, setObjective] = useState('sharpe');
  const [folds, setFolds] = useState('0');
  const wrong =
    Object.entries(texts)
      .map(([name, text]) => rangeFault(name, text))
      .find((fault) => fault !== null) ??
    (sampler !== 'grid' && !(Number(trials) >= 1) ? 'How many trials?' : null);
  const start = useMutation({
    mutationFn: ({ strategy, instruments, interval, costs, cash, ...span }: Research) =>
      api.startStudy({
        strategy: strategy.name,
        instruments,
        interval,
        ...spanOf(span),
        params: spaceOf(strategy.params, texts),
        sampler,
        ...(sampler === 'grid' ? {} : { trials: Number(trials) }),
        objective,
        walk_forward: Number(folds),
        settings: { costs, cash },
      }),
    onSuccess: ({ study_id }) => {
      void client.invalidateQueries({ queryKey: ['studies'] });
      open(study_id);
    },
  });
  return (
    <Panel title="New study" className="new-run">
      <ResearchForm
        begin={begin}
        ranges
        busy={start.isPending}
        action="Start study"
        wrong={wrong}
        more={(strategy) => (
          <>
            <Ranges strategy={strategy} texts={texts} set={setTexts} />
            <div className="form-row">
              <label className="field">
                <span>Sampler</span>
                <select
                  value={sampler}
                  onChange={({ target }) => setSampler(target.value as (typeof SAMPLERS)[number])}
                >
                  {SAMPLERS.map((name) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              </label>
              {sampler !== 'grid' && (
                <label className="field">
                  <span>Trials</span>
                  <input
                    type="number"
                    min={1}
                    max={1_000_000}
                    value={trials}
                    onChange={({ target }) => setTrials(target.value)}
                  />
                </label>
              )}
              <label className="field">
                <span>Maximise</span>
                <select value={objective} onChange={({ target }) => setObjective(target.value)}>
                  {OBJECTIVES.map(([name, words]) => (
                    <option key={name} value={name}>
                      {words}
                    </option>
                  ))}
                </select>
              </label>
              <label className="field">
                <span>Walk-forward folds</span>
                <input
                  type="number"
                  min={0}
                  max={50}
                  value={folds}
                  onChange={({ target }) => setFolds(target.value)}
                />
              </label>
            </div>
          </>
        )}
        start={(research) => start.mutate(research)}
      />
      {start.error && <ErrorState what="The study" error={start.error} />}
    </Panel>
  );
}

function Ranges(props: {
  strategy: StrategySummary;
  texts: Record<string, string>;
  set(texts: Record<string, string>): void;
}) {
  const { strategy, texts, set } = props;
  return (
    <div className="form-row">
      {strategy.params.map((param) => {
        const text = texts[param.name] ?? rangeOf(param);
        const fault = rangeFault(param.name, text);
        return (
          <div className="field" key={param.name}>
            <label className="field-name" htmlFor={`range-${param.name}`}>
              {param.name}
            </label>
            <input
              id={`range-${param.name}`}
              value={text}
              aria-invalid={fault !== null}
              onChange={({ target }) => set({ ...texts, [param.name]: target.value })}
            />
            <span className={fault ? 'field-error' : 'field-hint'}>{fault ?? 'from:to:step, or values'}</span>
          </div>
        );
      })}
    </div>
  );
}
