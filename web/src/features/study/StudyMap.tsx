import { type ReactNode, useMemo, useState } from 'react';
import { HeatGrid } from '@/shared/figure/HeatGrid';
import { PlainLine } from '@/shared/figure/PlainLine';
import { number } from '@/shared/format';
import { Panel, SkeletonRows } from '@/shared/Panel';
import {
  axesOf,
  centreOf,
  METRICS,
  type Metric,
  mapOf,
  metricOf,
  type Result,
  type Trial,
  zoneOf,
} from './study';

export type Promote = (trial: number, content: ReactNode) => ReactNode;

/** Cells beyond which a map says nothing that a person could read. */
const SIDE_MOST = 80;

/** A number of the trials by their parameters: a line of one, a map of two, and of more any pair. */
export function StudyMap(props: {
  trials: Trial[];
  result: Result | null;
  loading: boolean;
  promote: Promote;
}) {
  const { trials, result, loading, promote } = props;
  const [metric, setMetric] = useState<Metric>('sharpe');
  const [pair, setPair] = useState(0);
  const axes = useMemo(() => axesOf(trials), [trials]);
  const names = [...axes.keys()];
  const pairs = names.flatMap((x, i) => names.slice(i + 1).map((y) => [x, y] as const));
  const [x, y] = pairs[pair] ?? pairs[0] ?? [names[0], undefined];
  const title = METRICS.find(([name]) => name === metric)?.[1] ?? metric;
  const best = result ? trials.find(({ number }) => number === result.best.number) : undefined;
  return (
    <Panel
      title={x === undefined ? title : `${title} by ${x}${y === undefined ? '' : ` and ${y}`}`}
      className="study-heat"
      actions={
        <>
          {pairs.length > 1 && (
            <label className="field">
              <span className="hidden">Parameters</span>
              <select value={pair} onChange={({ target }) => setPair(Number(target.value))}>
                {pairs.map(([one, other], i) => (
                  <option key={`${one} ${other}`} value={i}>
                    {one}, {other}
                  </option>
                ))}
              </select>
            </label>
          )}
          <label className="field">
            <span className="hidden">Number</span>
            <select value={metric} onChange={({ target }) => setMetric(target.value as Metric)}>
              {METRICS.map(([name, words]) => (
                <option key={name} value={name}>
                  {words}
                </option>
              ))}
            </select>
          </label>
        </>
      }
    >
      {trials.length === 0 ? (
        loading ? (
          <SkeletonRows rows={6} />
        ) : (
          <p className="panel-body secondary small">No trial is done yet.</p>
        )
      ) : x === undefined ? (
        <p className="panel-body secondary small">Nothing was varied.</p>
      ) : y === undefined ? (
        <OneParameter name={x} trials={trials} metric={metric} title={title} best={best} />
      ) : (
        <Pair
          x={x}
          y={y}
          axes={axes}
          trials={trials}
          metric={metric}
          title={title}
          best={best}
          isolated={result?.stable_zone.isolated ?? false}
          promote={promote}
        />
      )}
    </Panel>
  );
}

function OneParameter(props: {
  name: string;
  trials: Trial[];
  metric: Metric;
  title: string;
  best: Trial | undefined;
}) {
  const { name, trials, metric, best } = props;
  const rows = useMemo(
    () =>
      trials
        .filter(({ params }) => typeof params[name] === 'number')
        .sort((a, b) => Number(a.params[name]) - Number(b.params[name])),
    [trials, name],
  );
  if (rows.length === 0) {
    return <p className="panel-body secondary small">{name} is no number: the table below has its values.</p>;
  }
  return (
    <PlainLine
      label={`${props.title} by ${name}`}
      xName={name}
      xs={rows.map(({ params }) => Number(params[name]))}
      values={rows.map((trial) => metricOf(trial, metric))}
      best={best ? Number(best.params[name]) : null}
    />
  );
}

function Pair(props: {
  x: string;
  y: string;
  axes: ReturnType<typeof axesOf>;
  trials: Trial[];
  metric: Metric;
  title: string;
  best: Trial | undefined;
  isolated: boolean;
  promote: Promote;
}) {
  const { x, y, axes, trials, metric, best, isolated } = props;
  const columns = axes.get(x) ?? [];
  const rows = axes.get(y) ?? [];
  const values = useMemo(() => mapOf(trials, metric, x, y, axes), [trials, metric, x, y, axes]);
  // A drawdown is no profit to hold on to: where it is the number there is no zone.
  const zone = useMemo(() => (metric === 'max_drawdown' ? null : zoneOf(values)), [values, metric]);
  const centre = useMemo(
    () => (zone ? centreOf(zone, trials, x, y, axes) : null),
    [zone, trials, x, y, axes],
  );
  if (columns.length > SIDE_MOST || rows.length > SIDE_MOST) {
    return (
      <p className="panel-body secondary small">
        Too many values for a map. The parallel coordinates beside it have them all.
      </p>
    );
  }
  const place: [number, number] | null = best
    ? [columns.indexOf(best.params[x] ?? ''), rows.indexOf(best.params[y] ?? '')]
    : null;
  const [left = 0, right = 0, low = 0, high = 0] = zone?.place ?? [];
  return (
    <>
      <HeatGrid
        label={`${props.title} by ${x} and ${y}`}
        columns={columns.map(String)}
        rows={rows.map(String)}
        columnName={x}
        rowName={y}
        values={values}
        alone={isolated && place && place[0] >= 0 && place[1] >= 0 ? place : null}
        zone={zone?.place ?? null}
      />
      <div className="row study-zone small">
        {zone && centre ? (
          <>
            <span className="zone-mark" aria-hidden />
            <span>
              Stable zone: {x} {String(columns[left])} to {String(columns[right])}, {y} {String(rows[low])} to{' '}
              {String(rows[high])} {'hold '}
              {number(zone.low, 2)} to {number(zone.high, 2)}.
            </span>
            <span className="space" />
            {props.promote(centre.number, 'Use its centre')}
          </>
        ) : (
          <span className="secondary">
            No zone: nowhere do two values of each parameter have half of the best that is above zero.
          </span>
        )}
        {isolated && place && (
          <span className="state-stale">
            <span className="zone-mark alone" aria-hidden /> The best one stands alone.
          </span>
        )}
      </div>
    </>
  );
}
