import { Award, X } from 'lucide-react';
import { type ReactNode, useMemo, useState } from 'react';
import { apiPath } from '@/api/client';
import type { BacktestComparison } from '@/api/types';
import { useRegister } from '@/shared/command';
import { LineFigure } from '@/shared/figure/LineFigure';
import { date, msOfNs, NONE } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { copyText } from '@/shared/toast';
import { bestOf, curvesOf, differenceOf, KINDS, MEASURES, numberOf, styleOf } from './compare';
import { useComparison } from './queries';
import { paramsText, summaryOf } from './run';
import './run.css';
import './compare.css';

/** Several runs beside each other: what they brought, what is to be believed of it, and what was different. */
export function ComparePage(props: {
  ids: string[];
  set(ids: string[]): void;
  back: ReactNode;
  link: (id: string, content: ReactNode) => ReactNode;
}) {
  const { ids, set } = props;
  const { data, error, refetch } = useComparison(ids);
  useRegister(
    useMemo(
      () => [
        {
          id: 'compare.python',
          title: 'Copy the comparison as Python',
          group: 'Research',
          words: 'code snippet',
          run: () => void copyText(pythonOf(ids), 'Python'),
        },
        {
          id: 'compare.curl',
          title: 'Copy the comparison as curl',
          group: 'Research',
          words: 'code snippet',
          run: () => {
            const path = new URL(apiPath('/backtests/compare', { ids: ids.join(',') }), location.href);
            void copyText(
              `curl -H "Authorization: Bearer $(cat ~/.tidemill/token)" '${path.href}'\n`,
              'curl',
            );
          },
        },
      ],
      [ids],
    ),
  );
  return (
    <>
      <div className="row page-head">
        {props.back}
        <h1>Compare backtests</h1>
        {data && <span className="chip">{data.items.length} runs</span>}
        <span className="space" />
        <button type="button" className="button quiet" onClick={() => void copyText(pythonOf(ids), 'Python')}>
          Copy as Python
        </button>
      </div>
      {ids.length < 2 ? (
        <Panel title="Nothing to compare">
          <p className="panel-body">
            Choose two backtests or more in the list, then press Compare, or <kbd>c</kbd>.
          </p>
        </Panel>
      ) : data ? (
        <Compared data={data} ids={ids} set={set} link={props.link} />
      ) : error ? (
        <ErrorState what="The comparison" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={8} />
      )}
    </>
  );
}

const pythonOf = (ids: string[]): string =>
  [
    'import tidemill as tm',
    '',
    'td = tm.connect()',
    `runs = [td.run(id) for id in ${JSON.stringify(ids)}]`,
    '[run.stats["sharpe"] for run in runs], [run.stats["deflated_sharpe"] for run in runs]',
    '',
  ].join('\n');

function Compared(props: {
  data: BacktestComparison;
  ids: string[];
  set(ids: string[]): void;
  link: (id: string, content: ReactNode) => ReactNode;
}) {
  const { data, set, link } = props;
  const zone = useSettings((settings) => settings.zone);
  const [log, setLog] = useState(false);
  const curves = useMemo(() => curvesOf(data), [data]);
  const names = useMemo(() => namesOf(data), [data]);
  const lines = (values: (number | null)[][]) =>
    values.map((line, i) => ({ name: names[i] ?? '', values: line, ...styleOf(i) }));
  return (
    <div className="compare">
      <ul className="panel compare-runs" aria-label="Runs">
        {data.items.map((run, i) => (
          <li key={run.id} className="row">
            <Swatch at={i} />
            {link(run.id, <span className="medium">{names[i]}</span>)}
            <span className="small secondary cut">
              {run.instruments.join(', ')} {run.interval}
              {run.start !== null && run.end !== null
                ? `, ${date(msOfNs(run.start), zone)} to ${date(msOfNs(run.end), zone)}`
                : ''}
            </span>
            <span className="space" />
            {data.items.length > 2 && (
              <button
                type="button"
                className="icon-button"
                aria-label={`Leave out ${names[i]}`}
                onClick={() => set(data.items.filter(({ id }) => id !== run.id).map(({ id }) => id))}
              >
                <X size={14} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      <Panel
        title="Growth of 100"
        note="each from its own start"
        className="compare-equity"
        actions={
          // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
          <div className="segments s" role="group" aria-label="Axis">
            <button type="button" aria-pressed={!log} onClick={() => setLog(false)}>
              Linear
            </button>
            <button type="button" aria-pressed={log} onClick={() => setLog(true)}>
              Log
            </button>
          </div>
        }
      >
        <LineFigure
          label="Growth of 100 of each run"
          times={curves.times}
          zone={zone}
          log={log}
          axis={false}
          lines={lines(curves.growth)}
        />
        <div className="run-fall-name small tertiary">Drawdown, %</div>
        <div className="run-fall">
          <LineFigure
            label="Drawdown of each run"
            times={curves.times}
            zone={zone}
            include={[0]}
            unit=" %"
            lines={lines(curves.under)}
          />
        </div>
      </Panel>
      <Measures data={data} names={names} />
      <Differences data={data} names={names} />
      <Code data={data} names={names} />
    </div>
  );
}

function Swatch({ at }: { at: number }) {
  const { color, dash } = styleOf(at);
  return (
    <svg width={22} height={8} aria-hidden className="swatch">
      <line
        x1={0}
        x2={22}
        y1={4}
        y2={4}
        stroke={color}
        strokeWidth={2}
        {...(dash ? { strokeDasharray: dash } : {})}
      />
    </svg>
  );
}

/** By what a run is told from the others: its strategy, and the parameters that are not the same in all. */
function namesOf({ items, differences }: BacktestComparison): string[] {
  const different = Object.keys(differences)
    .filter((name) => name.startsWith('param '))
    .map((name) => name.slice(6));
  const found = items.map(({ strategy, params }) => {
    const own = Object.fromEntries(Object.entries(params).filter(([name]) => different.includes(name)));
    return [strategy, paramsText(own)].filter((text) => text !== '').join(' ');
  });
  // Those that are still alike have the beginnings of their ids.
  return found.map((name, i) =>
    found.filter((one) => one === name).length > 1 ? `${name} ${items[i]?.id.slice(-6) ?? ''}` : name,
  );
}

function Heads({ names }: { names: string[] }) {
  return names.map((name, i) => (
    <th key={name} className="n">
      <span className="row compare-name">
        <Swatch at={i} />
        <span className="cut" title={name}>
          {name}
        </span>
      </span>
    </th>
  ));
}

function Measures({ data, names }: { data: BacktestComparison; names: string[] }) {
  const numbers = data.items.map((run) => summaryOf(run)?.numbers);
  return (
    <Panel
      title="Numbers"
      note={
        <span className="row compare-legend">
          <Award size={12} aria-hidden /> best of the line
        </span>
      }
    >
      <Scroll label="Numbers">
        <table className="compare-table">
          <thead>
            <tr>
              <th>Of each run</th>
              <Heads names={names} />
            </tr>
          </thead>
          <tbody>
            {MEASURES.map(({ id, title, better, text }) => {
              const values = numbers.map((one) => numberOf(one, id));
              const best = bestOf(values, better);
              return (
                <tr key={id}>
                  <th scope="row">
                    {title}
                    {better === 'less' && <span className="tertiary">, less is better</span>}
                  </th>
                  {values.map((value, i) => (
                    <td
                      // biome-ignore lint/suspicious/noArrayIndexKey: a run's place is its column
                      key={i}
                      className={`n ${best.includes(i) ? 'best' : ''} ${id === 'deflated_sharpe' && value !== null && value < 0.95 ? 'state-stale' : ''}`}
                    >
                      {best.includes(i) && (
                        <>
                          <Award size={12} aria-hidden />
                          <span className="hidden">best: </span>
                        </>
                      )}
                      {text(value)}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function Differences({ data, names }: { data: BacktestComparison; names: string[] }) {
  const zone = useSettings((settings) => settings.zone);
  const rows = Object.entries(data.differences)
    .map(([name, values]) => ({ ...differenceOf(name), name, values }))
    .sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
  const shown = (name: string, value: unknown) =>
    value === null || value === undefined
      ? NONE
      : name === 'start' || name === 'end'
        ? date(msOfNs(String(value)), zone)
        : String(value);
  return (
    <Panel title="Differences" note="what was not asked alike">
      {rows.length === 0 ? (
        <p className="panel-body secondary small">Nothing: they are the same to the bit.</p>
      ) : (
        <Scroll label="Differences">
          <table className="compare-table">
            <thead>
              <tr>
                <th>In</th>
                <Heads names={names} />
              </tr>
            </thead>
            <tbody>
              {rows.map(({ kind, title, name, values }) => (
                <tr key={name}>
                  <th scope="row">
                    <span className="tertiary">{kind}</span> {title}
                  </th>
                  {values.map((value, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: a run's place is its column
                    <td key={i} className="n mono">
                      {shown(name, value)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

function Code({ data, names }: { data: BacktestComparison; names: string[] }) {
  const others = data.code.flatMap((text, i) => (text === null ? [] : [{ text, name: names[i] ?? '' }]));
  return (
    <Panel title="Code" note={`against ${names[0]}`}>
      {others.length === 0 ? (
        <p className="panel-body secondary small">All were run with the same code.</p>
      ) : (
        others.map(({ text, name }) => (
          <section key={name} aria-label={`Code of ${name}`}>
            <h3 className="small medium compare-code-name">{name}</h3>
            <Scroll label={`Code of ${name}`}>
              <pre className="diff mono small">
                {text.split('\n').map((line, i) => (
                  <span
                    // biome-ignore lint/suspicious/noArrayIndexKey: lines of a text never move
                    key={i}
                    className={line.startsWith('+') ? 'more' : line.startsWith('-') ? 'less' : ''}
                  >
                    {line}
                    {'\n'}
                  </span>
                ))}
              </pre>
            </Scroll>
          </section>
        ))
      )}
    </Panel>
  );
}
