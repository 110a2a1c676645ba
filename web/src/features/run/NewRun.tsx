import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api } from '@/api/client';
import { ErrorState, Panel } from '@/shared/Panel';
import { valuesOf } from '@/shared/ParamFields';
import { type Begin, type Research, ResearchForm, spanOf } from '@/shared/ResearchForm';

/** Asks for a backtest and goes to it at once: it waits and runs on its own page. */
export function NewRun({
  begin,
  open,
}: {
  begin?: Begin | undefined;
  open(id: string, waits: boolean): void;
}) {
  const client = useQueryClient();
  const { slippage_ticks, ...also } = begin?.also ?? {};
  const start = useMutation({
    mutationFn: ({ strategy, instruments, interval, texts, costs, cash, engine, ...span }: Research) =>
      api.runBacktest({
        strategy: strategy.name,
        instruments,
        interval,
        ...spanOf(span),
        params: valuesOf(strategy.params, texts),
        costs: { ...costs, ...(slippage_ticks === undefined ? {} : { slippage_ticks }) },
        cash,
        engine,
        ...also,
      }),
    // Until the run is there, its page tells of the job that makes it.
    onSuccess: ({ run, job_id }) => {
      void client.invalidateQueries({ queryKey: ['runs'] });
      const id = run?.id ?? job_id;
      if (id) open(id, run === null);
    },
  });
  return (
    <Panel title="New backtest" className="new-run">
      <ResearchForm
        begin={begin}
        busy={start.isPending}
        action="Run backtest"
        start={(research) => start.mutate(research)}
      />
      {start.error && <ErrorState what="The backtest" error={start.error} />}
    </Panel>
  );
}
