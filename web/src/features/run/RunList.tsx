import { Download, FlaskConical, GitCompareArrows, Trash2, TriangleAlert } from 'lucide-react';
import {
  memo,
  type ReactNode,
  useCallback,
  useDeferredValue,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { type TableComponents, TableVirtuoso } from 'react-virtuoso';
import { listPath } from '@/api/client';
import type { BacktestLine } from '@/api/types';
import { useRegister } from '@/shared/command';
import { number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { copyText, toast } from '@/shared/toast';
import { usePhone } from '@/theme/ThemeProvider';
import '@/shared/form.css';
import { COLUMNS, type Column, shownColumns } from './column';
import { useDeleteRun, useRuns } from './queries';
import { paramsText, summaryOf } from './run';
import './run.css';
import './run-list.css';

const COMPARED_MOST = 20;
const TYPED_MS = 300;

/** The same components for good: others would be drawn anew each time. */
const PARTS: TableComponents<BacktestLine, number> = {
  Table: ({ style, context, ...rest }) => (
    <table {...rest} className="runs" style={{ ...style, minWidth: context ?? 0 }} />
  ),
};

/** What the list shows: it is the address of the page. */
export interface ListSearch {
  /** `strategy:sma* sharpe>1 btc`. */
  where?: string;
  sort?: string;
  order?: 'asc' | 'desc';
  /** Ids of columns, by commas. */
  columns?: string;
}

/** All runs, with what is to be believed of each beside what it brought. */
export function RunList(props: {
  search: ListSearch;
  /** `replace` while somebody types: the way back leads to the page before. */
  set(search: ListSearch): void;
  link: (id: string, content: ReactNode) => ReactNode;
  compare(ids: string[]): void;
}) {
  const { search, set, link, compare } = props;
  const { where = '', sort = 'created', order = 'desc' } = search;
  const phone = usePhone();
  const zone = useSettings((settings) => settings.zone);
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage, isPlaceholderData } = useRuns(
    where,
    sort,
    order,
  );
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const columns = useMemo(() => shownColumns(search.columns, phone), [search.columns, phone]);
  // What was shown stays while a filter is being written that the platform does not take.
  const last = useRef<typeof data>(undefined);
  if (data) last.current = data;
  const shown = data ?? last.current;
  const runs = useMemo(() => shown?.pages.flatMap(({ items }) => items) ?? [], [shown]);
  const total = shown?.pages[0]?.total ?? runs.length;
  const ids = useMemo(() => [...chosen], [chosen]);
  useRegister(
    useMemo(
      () => [
        {
          id: 'backtests.compare',
          title: `Compare chosen backtests${ids.length > 1 ? ` (${ids.length})` : ''}`,
          group: 'Research',
          keys: 'c',
          run: () => (ids.length > 1 ? compare(ids) : toast('Choose two backtests or more', 'bad')),
        },
        {
          id: 'backtests.curl',
          title: 'Copy the list of backtests as curl',
          group: 'Research',
          words: 'code snippet',
          run: () => {
            const url = new URL(listPath({ where, sort, order }), location.href);
            void copyText(`curl -H "Authorization: Bearer $(cat ~/.tidemill/token)" '${url.href}'\n`, 'curl');
          },
        },
      ],
      [ids, compare, where, sort, order],
    ),
  );
  const toggle = useCallback((id: string) => {
    setChosen((before) => {
      const next = new Set(before);
      if (!next.delete(id) && next.size < COMPARED_MOST) next.add(id);
      return next;
    });
  }, []);
  const { mutate } = useDeleteRun();
  const remove = useCallback(
    (id: string) =>
      mutate(id, {
        onSuccess: () => toast('The run is deleted; the ledger of trials still counts it'),
        onError: (error) => toast(`The run was not deleted: ${error.message}`, 'bad'),
      }),
    [mutate],
  );
  const by = ({ sort: name, low }: Column) => {
    if (!name) return;
    const first = low ? 'asc' : 'desc';
    const turned = name === sort ? (order === 'asc' ? 'desc' : 'asc') : first;
    set({ ...search, sort: name, order: turned });
  };
  return (
    <Panel
      title="Backtests"
      note={shown ? `${number(total)} ${where === '' ? 'kept' : 'found'}` : undefined}
      className="run-list"
      actions={
        <>
          <button
            type="button"
            className={`button s ${ids.length > 1 ? 'primary' : ''}`}
            disabled={ids.length < 2}
            title={`Up to ${COMPARED_MOST} at a time`}
            onClick={() => compare(ids)}
          >
            <GitCompareArrows size={13} aria-hidden />
            Compare{ids.length > 0 ? ` (${ids.length})` : ''}
          </button>
          <ColumnPicker
            columns={columns}
            set={(names) => set({ ...search, columns: names.join(',') })}
            reset={() => {
              const { columns: _, ...rest } = search;
              set(rest);
            }}
          />
          <a className="button s" href={listPath({ where, sort, order })} download aria-label="Export as CSV">
            <Download size={13} aria-hidden />
            {!phone && 'CSV'}
          </a>
        </>
      }
    >
      <Filter
        where={where}
        error={error?.message ?? null}
        set={(text) => {
          const { where: _, ...rest } = search;
          set(text === '' ? rest : { ...rest, where: text });
        }}
      />
      {shown ? (
        runs.length === 0 ? (
          <NoRuns searched={where !== ''} />
        ) : (
          <TableVirtuoso
            className="runs-scroll"
            data={runs}
            computeItemKey={(_, run) => run.id}
            increaseViewportBy={200}
            endReached={() => {
              if (hasNextPage && !isFetchingNextPage && !isPlaceholderData) void fetchNextPage();
            }}
            components={PARTS}
            context={columns.reduce((sum, { width }) => sum + width, phone ? 170 : 284)}
            fixedHeaderContent={() => (
              <tr>
                <th className="pick" aria-label="Chosen" />
                <th>Strategy</th>
                {columns.map((column) => (
                  <th
                    key={column.id}
                    className={column.n ? 'n' : ''}
                    style={{ width: column.width }}
                    {...(column.sort === sort
                      ? { 'aria-sort': order === 'asc' ? 'ascending' : 'descending' }
                      : {})}
                  >
                    {column.sort ? (
                      <button type="button" className="sorts" onClick={() => by(column)}>
                        {column.title}
                        <span aria-hidden>
                          {column.sort === sort ? (order === 'asc' ? ' \u2191' : ' \u2193') : ''}
                        </span>
                      </button>
                    ) : (
                      column.title
                    )}
                  </th>
                ))}
                {!phone && <th className="warn" aria-label="Warnings" />}
                {!phone && <th className="act" aria-label="Actions" />}
              </tr>
            )}
            itemContent={(_, run) => (
              <RunCells
                run={run}
                columns={columns}
                zone={zone}
                phone={phone}
                chosen={chosen.has(run.id)}
                toggle={toggle}
                remove={remove}
                link={link}
              />
            )}
          />
        )
      ) : error ? (
        <ErrorState what="Backtests" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={8} />
      )}
    </Panel>
  );
}

/** Asked for once nobody has typed for a moment; what the platform does not take it says here. */
function Filter(props: { where: string; error: string | null; set(text: string): void }) {
  const { where, error, set } = props;
  const [text, setText] = useState(where);
  const typed = useDeferredValue(text);
  const asked = useRef(where);
  useEffect(() => {
    if (where !== asked.current) {
      asked.current = where;
      setText(where);
    }
  }, [where]);
  useEffect(() => {
    const wanted = typed.trim();
    if (wanted === asked.current) return;
    const timer = setTimeout(() => {
      asked.current = wanted;
      set(wanted);
    }, TYPED_MS);
    return () => clearTimeout(timer);
  }, [typed, set]);
  return (
    <div className="run-filter">
      <label className="field">
        <span className="hidden">Filter</span>
        <input
          type="search"
          placeholder="strategy:sma* sharpe>1 trades>=30 param:fast=20 btc"
          spellCheck={false}
          value={text}
          aria-invalid={error !== null}
          aria-describedby="run-filter-says"
          onChange={({ target }) => setText(target.value)}
        />
      </label>
      <span id="run-filter-says" role="status" className={error === null ? 'hidden' : 'field-error'}>
        {error ?? 'Conditions and words, all of which hold'}
      </span>
    </div>
  );
}

function ColumnPicker(props: { columns: Column[]; set(names: string[]): void; reset(): void }) {
  const names = props.columns.map(({ id }) => id);
  return (
    <details
      className="column-picker"
      onKeyDown={(event) => {
        if (event.key === 'Escape') event.currentTarget.open = false;
      }}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.open = false;
      }}
    >
      <summary className="button s">Columns</summary>
      <div className="column-list">
        {COLUMNS.map(({ id, title }) => (
          <label key={id} className="row small">
            <input
              type="checkbox"
              checked={names.includes(id)}
              onChange={() =>
                props.set(names.includes(id) ? names.filter((name) => name !== id) : [...names, id])
              }
            />
            {title}
          </label>
        ))}
        <button type="button" className="button s quiet" onClick={props.reset}>
          As usual
        </button>
      </div>
    </details>
  );
}

/** Drawn again only when its run or its choice is another: thousands of them scroll by. */
const RunCells = memo(function RunCells(props: {
  run: BacktestLine;
  columns: Column[];
  zone: string;
  phone: boolean;
  chosen: boolean;
  toggle(id: string): void;
  remove(id: string): void;
  link: (id: string, content: ReactNode) => ReactNode;
}) {
  const { run, columns, zone, phone, chosen } = props;
  const summary = summaryOf(run);
  const params = paramsText(run.params);
  return (
    <>
      <td className="pick">
        <label>
          <input
            type="checkbox"
            checked={chosen}
            onChange={() => props.toggle(run.id)}
            disabled={run.state === 'failed'}
          />
          <span className="hidden">
            Compare {run.strategy} {params} of {run.id}
          </span>
        </label>
      </td>
      <td className="cut" title={`${run.strategy} ${params}`}>
        {props.link(run.id, <span className="medium">{run.strategy}</span>)}{' '}
        <span className="tertiary small">{params}</span>
      </td>
      {run.state === 'failed' ? (
        <td colSpan={columns.length} className="state-error cut">
          failed: {String(run.error?.message ?? 'no reason was kept')}
        </td>
      ) : (
        columns.map((column) => (
          <td key={column.id} className={column.n ? 'n' : 'cut'}>
            {column.cell(run, summary?.numbers ?? {}, zone)}
          </td>
        ))
      )}
      {!phone && (
        <td className="warn">
          {summary && summary.cautions.length > 0 && (
            <span className="chip stale" title={summary.cautions.map(({ text }) => text).join('; ')}>
              <TriangleAlert size={11} aria-hidden />
              {summary.cautions.length}
              <span className="hidden"> warnings</span>
            </span>
          )}
        </td>
      )}
      {!phone && (
        <td className="act n">
          <button
            type="button"
            className="icon-button"
            aria-label={`Delete the run of ${run.strategy} of ${run.id}`}
            onClick={() => props.remove(run.id)}
          >
            <Trash2 size={14} aria-hidden />
          </button>
        </td>
      )}
    </>
  );
});

function NoRuns({ searched }: { searched: boolean }) {
  return (
    <div className="empty">
      <FlaskConical size={18} className="tertiary" aria-hidden />
      <div className="strong">{searched ? 'No run is like that' : 'No backtest was run yet'}</div>
      <p>
        {searched ? (
          'Leave a condition out, or write a shorter word.'
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
