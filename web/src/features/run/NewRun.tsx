import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api } from '@/api/client';
import { ErrorState, Panel } from '@/shared/Panel';
import { valuesOf } from '@/shared/ParamFields';
import { type Research, ResearchForm, spanOf } from '@/shared/ResearchForm';
import { useRunJob } from './queries';

/** Asks for a backtest and goes to it once it is done. */
export function NewRun({ chosen, open }: { chosen?: string | undefined; open(id: string): void }) {
  const client = useQueryClient();
  const [job, setJob] = useState<string | null>(null);
  const start = useMutation({
    mutationFn: ({ strategy, instruments, interval, texts, costs, ...span }: Research) =>
      api.runBacktest({
        strategy: strategy.name,
        instruments,
        interval,
        ...spanOf(span),
        params: valuesOf(strategy.params, texts),
        costs: { taker: costs.taker, slippage_bps: costs.slippage_bps },
      }),
    onSuccess: ({ run, job_id }) => {
      if (run) open(run.id);
      else setJob(job_id);
    },
  });
  const { data: work } = useRunJob(job);
  useEffect(() => {
    if (!work || work.id !== job || ['queued', 'running'].includes(work.state)) return;
    setJob(null);
    void client.invalidateQueries({ queryKey: ['runs'] });
    const id =
      (work.result as { id?: string; run?: string } | null)?.run ??
      (work.result as { id?: string } | null)?.id;
    if (work.state === 'done' && id) open(id);
  }, [work, job, client, open]);
  const failed = start.error ?? (work && ['failed', 'poisoned'].includes(work.state) ? work.error : null);
  return (
    <Panel title="New backtest" className="new-run">
      <ResearchForm
        chosen={chosen}
        busy={start.isPending || job !== null}
        action="Run backtest"
        start={(research) => start.mutate(research)}
      />
      {failed && <ErrorState what="The backtest" error={failed} />}
    </Panel>
  );
}
