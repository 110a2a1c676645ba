import { PlainLine } from '@/shared/figure/PlainLine';
import { msOfNs, number, percent } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import type { Fold, Result } from './study';

/** Each fold as a strip: what the best inside had outside, and all stretches outside end to end. */
export function WalkForward({ walk }: { walk: NonNullable<Result['walk_forward']> }) {
  const ms = (fold: Fold) =>
    [...fold.inside, ...fold.outside].map((ns) => msOfNs(ns)) as [number, number, number, number];
  const spans = walk.folds.map(ms);
  const low = Math.min(...spans.map(([from]) => from));
  const high = Math.max(...spans.map(([, , , to]) => to));
  const part = (from: number, to: number) => ({
    left: `${((from - low) / (high - low)) * 100}%`,
    width: `${(Math.max(0, to - from) / (high - low)) * 100}%`,
  });
  return (
    <Panel
      title="Walk-forward"
      note={`${number(walk.folds.length)} folds, efficiency ${number(walk.wfe, 2)}, Sharpe beside each`}
      actions={
        <span className="walk-legend small secondary">
          <i className="train" /> train <i className="test" /> test
        </span>
      }
    >
      <ol className="walk panel-body">
        {walk.folds.map((fold, i) => {
          const [from, past, out, end] = spans[i] ?? [0, 0, 0, 0];
          const sharpe = fold.outside_metrics?.sharpe ?? null;
          return (
            <li key={fold.fold}>
              <span className="train" style={part(from, past)}>
                {number(fold.inside_metrics?.sharpe, 2)}
              </span>
              <span className="test" style={part(out, end)} />
              <span className={`after small ${(sharpe ?? 0) < 0 ? 'down' : ''}`}>{number(sharpe, 2)}</span>
            </li>
          );
        })}
      </ol>
      <WalkEquity walk={walk} />
    </Panel>
  );
}

/** What would have been had: the stretches outside, end to end, by days that were outside. */
function WalkEquity({ walk }: { walk: NonNullable<Result['walk_forward']> }) {
  const { equity } = walk;
  if (equity.length < 2) return null;
  return (
    <>
      <div className="small tertiary walk-name">
        Outside, end to end: {percent((equity.at(-1) ?? 1) / (equity[0] ?? 1) - 1)}
        {walk.positive_share !== null &&
          `, ${percent(walk.positive_share, 0).replace('+', '')} of the stretches made money`}
      </div>
      <div className="walk-equity">
        <PlainLine
          label="Equity outside, end to end"
          xName="days outside"
          xs={equity.map((_, i) => i)}
          values={equity}
          dots={false}
        />
      </div>
    </>
  );
}

/** The best trial with other costs. */
export function CostStress({ result }: { result: Result }) {
  return (
    <Panel title="Costs" note={`break-even at ${number(result.costs.break_even_bps, 1)} bps`}>
      <table>
        <thead>
          <tr>
            <th>Costs</th>
            <th className="n">Return</th>
            <th className="n">Sharpe</th>
          </tr>
        </thead>
        <tbody>
          {result.costs.runs.map(({ times, total_return, sharpe }) => (
            <tr key={times}>
              <td>{times === '0' ? 'none' : times === '1' ? 'as set' : `${times} times`}</td>
              <td className={`n ${(total_return ?? 0) < 0 ? 'down' : ''}`}>{percent(total_return)}</td>
              <td className="n">{number(sharpe, 2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

const WAYS: Record<string, string> = {
  bootstrap: 'Days in blocks, drawn again',
  shuffle: 'Trades in another order',
  skip: 'One trade in ten missed',
};

/** Where the best trial could have ended otherwise. */
export function Chances({ result }: { result: Result }) {
  const rows = Object.entries(result.chances ?? {}).filter(([, one]) => one !== null);
  const noise = result.perturbed;
  return (
    <Panel title="Other paths of the best" note="a thousand of each kind">
      <table>
        <thead>
          <tr>
            <th>Paths</th>
            <th className="n">Return, 5 %</th>
            <th className="n">median</th>
            <th className="n">95 %</th>
            <th className="n">End in loss</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(
            ([name, one]) =>
              one && (
                <tr key={name}>
                  <td>{WAYS[name] ?? name}</td>
                  {one.total_return.map((value, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: three quantiles in order
                    <td key={i} className={`n ${value < 0 ? 'down' : 'up'}`}>
                      {percent(value, 1)}
                    </td>
                  ))}
                  <td className="n">{percent(one.loss, 0).replace('+', '')}</td>
                </tr>
              ),
          )}
        </tbody>
      </table>
      <p className="panel-body small secondary">
        {noise.sharpe === null
          ? 'With prices a little off it could not be measured.'
          : `With prices a tenth of a bar's move off, ${number(noise.runs)} runs have a Sharpe ratio of ${noise.sharpe.map((one) => number(one, 2)).join(', ')} (5, 50 and 95 %).`}
      </p>
    </Panel>
  );
}
