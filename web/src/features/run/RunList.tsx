import { FlaskConical, Trash2, TriangleAlert } from 'lucide-react';
import { type ReactNode, useDeferredValue, useState } from 'react';
import type { BacktestLine } from '@/api/types';
import { date, msOfNs, number, percent } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { toast } from '@/shared/toast';
import '@/shared/form.css';
import { useDeleteRun, useRuns } from './queries';
import { chance, paramsText, ratio, share, summaryOf } from './run';
import './run.css';

const SORTS = [
  ['created', 'newest first'],
  ['sharpe', 'best Sharpe ratio'],
  ['total_return', 'highest return'],
] as const;

/** All runs, with what is to be believed of each beside what it brought. */
export function RunList(props: { link: (id: string, content: ReactNode) => ReactNode }) {
  const [text, setText] = useState('');
  const [sort, setSort] = useState<string>('created');
  const asked = useDeferredValue(text);
  const { data, error, refetch } = useRuns(asked.trim(), sort);
  return (
    <Panel
      title="Backtests"
      note={data ? `${number(data.items.length)}${data.next ? '+' : ''} kept` : undefined}
      actions={
        <>
          <label className="field run-search">
            <span className="hidden">Search runs</span>
            <input
              type="search"
              placeholder="Search"
              value={text}
              onChange={({ target }) => setText(target.value)}
            />
          </label>
          <label className="field">
            <span className="hidden">Order</span>
            <select value={sort} onChange={({ target }) => setSort(target.value)}>
              {SORTS.map(([name, words]) => (
                <option key={name} value={name}>
                  {words}
                </option>
              ))}
            </select>
          </label>
        </>
      }
    >
      {data ? (
        data.items.length === 0 ? (
          <NoRuns searched={asked.trim() !== ''} />
        ) : (
          <div className="scroll">
            <table className="runs">
              <thead>
                <tr>
                  <th>Strategy</th>
                  <th>Instrument</th>
                  <th className="wide">When</th>
                  <th className="n">Return</th>
                  <th className="n">Sharpe</th>
                  <th className="n">Deflated</th>
                  <th className="n wide">Drawdown</th>
                  <th className="n wide">Trades</th>
                  <th aria-label="Warnings" />
                  <th aria-label="Actions" />
                </tr>
              </thead>
              <tbody>
                {data.items.map((run) => (
                  <RunRow key={run.id} run={run} link={props.link} />
                ))}
              </tbody>
            </table>
          </div>
        )
      ) : error ? (
        <ErrorState what="Backtests" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={5} />
      )}
    </Panel>
  );
}

function RunRow({ run, link }: { run: BacktestLine; link: (id: string, content: ReactNode) => ReactNode }) {
  const zone = useSettings((settings) => settings.zone);
  const summary = summaryOf(run);
  const numbers = summary?.numbers ?? {};
  const remove = useDeleteRun();
  const deflated = numbers.deflated_sharpe;
  return (
    <tr>
      <td>
        {link(run.id, <span className="medium">{run.strategy}</span>)}{' '}
        <span className="tertiary small">{paramsText(run.params)}</span>
      </td>
      <td>
        {run.instruments.join(', ')} <span className="tertiary">{run.interval}</span>
      </td>
      <td className="wide secondary">{date(msOfNs(String(run.created)), zone)}</td>
      {run.state === 'failed' ? (
        <td colSpan={5} className="state-error cut">
          failed: {String(run.error?.message ?? 'no reason was kept')}
        </td>
      ) : (
        <>
          <td className={`n ${(numbers.total_return ?? 0) < 0 ? 'down' : 'up'}`}>
            {percent(numbers.total_return ?? null)}
          </td>
          <td className="n">{ratio(numbers.sharpe)}</td>
          <td className={`n ${deflated != null && deflated < 0.95 ? 'state-stale' : ''}`}>
            {chance(deflated)}
            <span className="tertiary small"> of {number(numbers.trials ?? 1)}</span>
          </td>
          <td className="n wide">{share(numbers.max_drawdown)}</td>
          <td className="n wide">{number(numbers.trades)}</td>
        </>
      )}
      <td>
        {summary && summary.cautions.length > 0 && (
          <span className="chip stale" title={summary.cautions.map(({ text }) => text).join('; ')}>
            <TriangleAlert size={11} aria-hidden />
            {summary.cautions.length}
            <span className="hidden"> warnings</span>
          </span>
        )}
      </td>
      <td className="n">
        <button
          type="button"
          className="icon-button"
          aria-label={`Delete the run of ${run.strategy} of ${run.id}`}
          disabled={remove.isPending}
          onClick={() =>
            remove.mutate(run.id, {
              onSuccess: () => toast('The run is deleted; the ledger of trials still counts it'),
              onError: (error) => toast(`The run was not deleted: ${error.message}`, 'bad'),
            })
          }
        >
          <Trash2 size={14} aria-hidden />
        </button>
      </td>
    </tr>
  );
}

function NoRuns({ searched }: { searched: boolean }) {
  return (
    <div className="empty">
      <FlaskConical size={18} className="tertiary" aria-hidden />
      <div className="strong">{searched ? 'No run is like that' : 'No backtest was run yet'}</div>
      <p>
        {searched ? (
          'Names, instruments and parameters are searched.'
        ) : (
          <>
            Start one beside this list, or in a terminal:{' '}
            <code className="mono">tidemill backtest run sma_cross BTC-USD.sim-kraken --interval 1m</code>
          </>
        )}
      </p>
    </div>
  );
}
