import { useMemo, useState } from 'react';
import { TableVirtuoso } from 'react-virtuoso';
import { number } from '@/shared/format';
import { Panel, SkeletonRows } from '@/shared/Panel';
import type { Promote } from './StudyMap';
import { METRICS, metricOf, type Trial } from './study';

/** All trials, sorted by any column; a row leads to a new run with its parameters. */
export function StudyTrials(props: {
  trials: Trial[];
  loading: boolean;
  best: number | null;
  isolated: boolean;
  promote: Promote;
}) {
  const { trials, loading, best, isolated, promote } = props;
  const [sort, setSort] = useState<{ name: string; down: boolean }>({ name: 'value', down: true });
  const names = useMemo(() => Object.keys(trials[0]?.params ?? {}), [trials]);
  const measures = useMemo(
    () => METRICS.filter(([name]) => trials.some(({ metrics }) => metrics[name] != null)),
    [trials],
  );
  const rows = useMemo(() => {
    const of = (trial: Trial) =>
      sort.name === 'value'
        ? (trial.values[0] ?? null)
        : sort.name === 'number'
          ? trial.number
          : sort.name.startsWith('param ')
            ? (trial.params[sort.name.slice(6)] ?? null)
            : metricOf(trial, sort.name);
    return [...trials].sort((a, b) => {
      const [one, other] = [of(a), of(b)];
      if (one === null || other === null) return Number(one === null) - Number(other === null);
      const order =
        typeof one === 'number' && typeof other === 'number'
          ? one - other
          : String(one).localeCompare(String(other));
      return sort.down ? -order : order;
    });
  }, [trials, sort]);
  const head = (name: string, words: string, n = true) => (
    <th
      key={name}
      className={n ? 'n' : ''}
      {...(sort.name === name ? { 'aria-sort': sort.down ? 'descending' : 'ascending' } : {})}
    >
      <button
        type="button"
        className="sorts"
        onClick={() => setSort({ name, down: sort.name === name ? !sort.down : true })}
      >
        {words}
        <span aria-hidden>{sort.name === name ? (sort.down ? ' \u2193' : ' \u2191') : ''}</span>
      </button>
    </th>
  );
  return (
    <Panel
      title="Trials"
      note={sort.name === 'value' ? `${number(trials.length)}, best first` : number(trials.length)}
      className="study-trials"
    >
      {trials.length === 0 ? (
        loading ? (
          <SkeletonRows rows={5} />
        ) : (
          <p className="panel-body secondary small">No trial is done yet.</p>
        )
      ) : (
        <TableVirtuoso
          className="trials-scroll"
          data={rows}
          computeItemKey={(_, trial) => trial.number}
          fixedHeaderContent={() => (
            <tr>
              {head('number', 'Trial', false)}
              {names.map((name) => head(`param ${name}`, name))}
              {measures.map(([name, words]) => head(name, words))}
              <th aria-label="Use it" />
            </tr>
          )}
          itemContent={(_, trial) => (
            <>
              <td className={trial.number === best ? 'chosen' : ''}>
                {number(trial.number + 1)}
                {trial.number === best && (
                  <span className={`chip ${isolated ? 'stale' : ''}`}>{isolated ? 'isolated' : 'best'}</span>
                )}
              </td>
              {names.map((name) => (
                <td key={name} className={`n ${trial.number === best ? 'chosen' : ''}`}>
                  {String(trial.params[name])}
                </td>
              ))}
              {trial.state === 'failed' ? (
                <td colSpan={measures.length} className="state-error cut" title={trial.error ?? ''}>
                  {trial.error}
                </td>
              ) : (
                measures.map(([name]) => (
                  <td key={name} className={`n ${trial.number === best ? 'chosen' : ''}`}>
                    {number(metricOf(trial, name), name === 'trades' ? 0 : 2)}
                  </td>
                ))
              )}
              <td className={`n ${trial.number === best ? 'chosen' : ''}`}>
                {promote(
                  trial.number,
                  <>
                    Promote<span className="hidden"> trial {trial.number + 1}</span>
                  </>,
                )}
              </td>
            </>
          )}
        />
      )}
    </Panel>
  );
}
