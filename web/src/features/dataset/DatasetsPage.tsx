import { Clock, DatabaseZap, LayoutGrid, List as ListIcon, SearchX } from 'lucide-react';
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { type GridComponents, TableVirtuoso, VirtuosoGrid } from 'react-virtuoso';
import type { Dataset, Provider } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { DATASET_SORTS, type DatasetFacet, type DatasetSearch } from '@/shared/dataset-search';
import type { FeedView } from '@/shared/feed-state';
import { useFeeds } from '@/shared/feeds';
import { age, bytes, count, number } from '@/shared/format';
import { ErrorState } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import '@/shared/form.css';
import {
  Badge,
  type CardActions,
  CardSkeleton,
  Collect,
  DatasetCard,
  OfferCard,
  RowsPerDay,
} from './DatasetCard';
import './dataset.css';
import { isFiltered, offers, rangeText, shareText, title, wordOf } from './dataset';
import { useCollecting, useDatasets, useFollow, useGrowth, useProviders } from './queries';

const SEARCH_MS = 500;
const POSITION_MS = 400;
const FACET_WORDS: [DatasetFacet, string][] = [
  ['category', 'Category'],
  ['venue', 'Venue'],
  ['kind', 'Kind'],
  ['resolution', 'Frequency'],
  ['status', 'Status'],
  ['delivery', 'Delivery'],
  ['access', 'Access'],
];
const SKELETONS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

type Item = { id: string; row: Dataset } | { id: string; offer: Provider };

interface Context {
  feeds: ReadonlyMap<string, FeedView>;
  now_ms: number;
  actions: CardActions;
  fetchLink(content: ReactNode, className: string, label: string): ReactNode;
}

export interface DatasetsProps extends Pick<CardActions, 'link'> {
  search: DatasetSearch;
  /** Changes what the address says; the history is not made longer. */
  change(search: DatasetSearch): void;
  fetchLink: Context['fetchLink'];
  head: ReactNode;
}

/** All that is stored, and what could be: searched, narrowed down, followed, started and stopped. */
export function DatasetsPage({ search, change, link, fetchLink, head }: DatasetsProps) {
  const phone = usePhone();
  const found = useDatasets(search);
  const providers = useProviders().data?.items;
  useGrowth();
  const follow = useFollow();
  const collect = useCollecting();
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage } = found;
  const now_ms = useSecond();
  // Ages of half a minute and more need no second hand: cards are drawn anew when it moves.
  const slow_ms = Math.floor(now_ms / 5_000) * 5_000;
  const named = useFeeds();
  const feeds = useMemo(() => new Map(named.map(({ venue, view }) => [venue, view])), [named]);

  const rows = useMemo(() => data?.pages.flatMap(({ items }) => items) ?? [], [data]);
  const first = data?.pages[0];
  const items = useMemo((): Item[] => {
    const stored: Item[] = rows.map((row) => ({ id: row.id, row }));
    if (!first || hasNextPage || !providers) return stored;
    const venues = new Set(rows.flatMap((row) => [row.venue, ...row.lineage]));
    for (const venue of Object.keys(first.facets.venue ?? {})) venues.add(venue);
    return [
      ...stored,
      ...offers(providers, venues, search).map((offer) => ({ id: `offer:${offer.name}`, offer })),
    ];
  }, [rows, first, hasNextPage, providers, search]);

  const followed = follow.mutate;
  const collected = collect.mutate;
  const actions = useMemo(
    (): CardActions => ({
      link,
      follow: (row) =>
        followed({ id: row.id, name: `${row.name} of ${row.venue}`, followed: !row.subscribed }),
      collect: (row) => collected({ venue: row.venue, wanted: row.status !== 'collecting' }),
    }),
    [link, followed, collected],
  );
  const context = useMemo(
    (): Context => ({ feeds, now_ms: slow_ms, actions, fetchLink }),
    [feeds, slow_ms, actions, fetchLink],
  );

  // A deep link may begin far down: what lies before it is fetched first.
  const begin = useRef(search.at ?? 0);
  const far = begin.current >= rows.length && hasNextPage && !isFetchingNextPage && begin.current > 0;
  useEffect(() => {
    if (far) void fetchNextPage();
  }, [far, fetchNextPage]);
  const waiting = begin.current > 0 && begin.current >= rows.length && hasNextPage;

  const position = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(position.current), []);
  const latest = useRef({ search, change });
  latest.current = { search, change };
  const moved = useCallback(({ startIndex }: { startIndex: number }) => {
    clearTimeout(position.current);
    position.current = setTimeout(() => {
      const { search: now, change: tell } = latest.current;
      if ((now.at ?? 0) === startIndex) return;
      const { at: _, ...rest } = now;
      tell(startIndex > 0 ? { ...rest, at: startIndex } : rest);
    }, POSITION_MS);
  }, []);
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);

  /** Another filter begins at the top again. */
  const filter = (next: Partial<Record<keyof DatasetSearch, string | undefined>>) => {
    const { at: _, ...rest } = search;
    clearTimeout(position.current);
    begin.current = 0;
    const merged = { ...rest, ...next };
    change(Object.fromEntries(Object.entries(merged).filter(([, value]) => value)) as DatasetSearch);
  };
  const listed = search.view === 'list' && !phone;
  const key = JSON.stringify({ ...search, at: undefined });
  const total = first?.total;

  return (
    <div className="page data-page">
      <div className="row page-head">
        {!phone && <h1>Datasets</h1>}
        {first && (
          <span className="tertiary small" role="status">
            {number(total)} {total === 1 ? 'dataset' : 'datasets'}
            {!hasNextPage &&
              !phone &&
              ` · ${count(rows.reduce((sum, row) => sum + row.rows, 0))} rows · ${bytes(rows.reduce((sum, row) => sum + row.bytes, 0))}`}
          </span>
        )}
        <span className="space" />
        {error && data && (
          <span className="chip stale" role="status">
            <Clock size={12} strokeWidth={2} aria-hidden />
            {age(now_ms - found.dataUpdatedAt)} old
          </span>
        )}
        {head}
      </div>
      <Filters search={search} facets={first?.facets} filter={filter} phone={phone} />
      {error && data && (
        <div className="data-banner" role="alert">
          <span>
            <b>The list could not be renewed.</b> {error.message} What is shown is as it was{' '}
            {age(now_ms - found.dataUpdatedAt)} ago.
          </span>
          <button type="button" className="button s" onClick={() => void found.refetch()}>
            Retry
          </button>
        </div>
      )}
      {!data ? (
        error ? (
          <section className="panel">
            <ErrorState what="Datasets" error={error} retry={() => void found.refetch()} />
          </section>
        ) : (
          <Skeletons />
        )
      ) : items.length === 0 ? (
        <Nothing
          filtered={isFiltered(search)}
          clear={() => change(search.view ? { view: search.view } : {})}
          fetchLink={fetchLink}
        />
      ) : waiting ? (
        <Skeletons />
      ) : listed ? (
        <section className="panel data-list" aria-label="Datasets as a list">
          <TableVirtuoso
            key={key}
            data={items}
            context={context}
            computeItemKey={(_, item) => item.id}
            initialTopMostItemIndex={begin.current}
            fixedHeaderContent={ListHead}
            itemContent={listRow}
            endReached={more}
            rangeChanged={moved}
            increaseViewportBy={200}
            overscan={400}
          />
        </section>
      ) : (
        <VirtuosoGrid
          key={key}
          className="data-scroll"
          data={items}
          context={context}
          components={GRID}
          computeItemKey={(_, item) => item.id}
          initialTopMostItemIndex={begin.current}
          itemContent={card}
          endReached={more}
          rangeChanged={moved}
          increaseViewportBy={300}
          tabIndex={-1}
        />
      )}
    </div>
  );
}

const GRID: GridComponents<Context> = {
  List: ({ ref, style, children, 'data-testid': id }) => (
    // biome-ignore lint/a11y/useSemanticElements: what holds the rows is given as a div
    <div ref={ref} style={style} data-testid={id} className="data-grid" role="list" aria-label="Datasets">
      {children}
    </div>
  ),
  Item: ({ children, context: _, ...rest }) => (
    // biome-ignore lint/a11y/useSemanticElements: as above
    <div {...rest} role="listitem">
      {children}
    </div>
  ),
};

const card = (_: number, item: Item, { feeds, now_ms, actions, fetchLink }: Context): ReactNode =>
  'row' in item ? (
    <DatasetCard row={item.row} feed={feeds.get(item.row.venue)} now_ms={now_ms} {...actions} />
  ) : (
    <OfferCard provider={item.offer} fetchLink={fetchLink} />
  );

const ListHead = (): ReactNode => (
  <tr>
    <th>Dataset</th>
    <th>Venue</th>
    <th>Status</th>
    <th className="wide">Rows per day</th>
    <th className="n">Rows</th>
    <th className="n">Size</th>
    <th>Frequency</th>
    <th>Range</th>
    <th className="n">Complete</th>
    <th className="wide">Access</th>
    <th className="n">Collector</th>
  </tr>
);

const listRow = (_: number, item: Item, { feeds, now_ms, actions, fetchLink }: Context): ReactNode => {
  if ('offer' in item) {
    return (
      <>
        <td>{fetchLink(title(item.offer.name), 'data-name', `Fetch from ${item.offer.name}`)}</td>
        <td colSpan={10} className="tertiary cut">
          {item.offer.summary}
        </td>
      </>
    );
  }
  const { row } = item;
  return (
    <>
      <td className="medium">{actions.link(row.id, row.name, undefined, 'data-name')}</td>
      <td className="secondary">{row.venue}</td>
      <td>
        <Badge row={row} feed={feeds.get(row.venue)} now_ms={now_ms} />
      </td>
      <td className="wide data-spark">
        <RowsPerDay row={row} width={150} height={18} />
      </td>
      <td className="n">{count(row.rows)}</td>
      <td className="n">{bytes(row.bytes)}</td>
      <td>{wordOf(row.resolution)}</td>
      <td>{rangeText(row, now_ms)}</td>
      <td className={`n ${row.completeness < 1 ? 'state-gap' : ''}`}>{shareText(row.completeness)}</td>
      <td className="wide secondary">{wordOf(row.access)}</td>
      <td className="n">
        <Collect row={row} collect={actions.collect} />
      </td>
    </>
  );
};

function Filters(props: {
  search: DatasetSearch;
  facets: Record<string, Record<string, number>> | undefined;
  filter(next: Partial<Record<keyof DatasetSearch, string | undefined>>): void;
  phone: boolean;
}) {
  const { search, facets, filter, phone } = props;
  const [text, setText] = useState(search.q ?? '');
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    setText(search.q ?? '');
    return () => clearTimeout(timer.current);
  }, [search.q]);
  return (
    <search className="data-filters" aria-label="Datasets">
      <input
        type="search"
        className="data-search"
        aria-label="Search datasets"
        placeholder="Search name, symbol, venue"
        value={text}
        maxLength={200}
        onChange={({ target }) => {
          setText(target.value);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => filter({ q: target.value.trim() || undefined }), SEARCH_MS);
        }}
      />
      {FACET_WORDS.map(([name, words]) => {
        const values = Object.entries(facets?.[name] ?? {});
        const chosen = search[name];
        if (values.length < 2 && !chosen && facets) return null;
        return (
          <label key={name} className={`data-facet ${chosen ? 'on' : ''}`}>
            <span>{words}</span>
            <select
              value={chosen ?? ''}
              onChange={({ target }) => filter({ [name]: target.value || undefined })}
            >
              <option value="">All</option>
              {chosen && !values.some(([value]) => value === chosen) && (
                <option value={chosen}>{wordOf(chosen)} (0)</option>
              )}
              {values.map(([value, many]) => (
                <option key={value} value={value}>
                  {wordOf(value)} ({number(many)})
                </option>
              ))}
            </select>
          </label>
        );
      })}
      {isFiltered(search) && (
        <button
          type="button"
          className="button quiet"
          onClick={() =>
            filter(
              Object.fromEntries(
                ['q', ...FACET_WORDS.map(([name]) => name)].map((name) => [name, undefined]),
              ),
            )
          }
        >
          Clear filters
        </button>
      )}
      <span className="space" />
      <label className="data-facet">
        <span>Sort</span>
        <select
          value={search.sort ?? 'id'}
          onChange={({ target }) => filter({ sort: target.value === 'id' ? undefined : target.value })}
        >
          {DATASET_SORTS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {!phone && (
        // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
        <div className="segments" role="group" aria-label="Shown as">
          <button
            type="button"
            aria-label="Cards"
            aria-pressed={search.view !== 'list'}
            onClick={() => filter({ view: undefined })}
          >
            <LayoutGrid size={14} aria-hidden />
          </button>
          <button
            type="button"
            aria-label="List"
            aria-pressed={search.view === 'list'}
            onClick={() => filter({ view: 'list' })}
          >
            <ListIcon size={14} aria-hidden />
          </button>
        </div>
      )}
    </search>
  );
}

/** Drawn after a moment, so that a quick answer is not preceded by a flicker. */
function Skeletons() {
  return (
    <div className="data-scroll" aria-busy>
      <span className="hidden" role="status">
        Datasets are being loaded
      </span>
      <div className="data-grid data-waiting">
        {SKELETONS.map((name) => (
          <CardSkeleton key={name} />
        ))}
      </div>
    </div>
  );
}

function Nothing(props: { filtered: boolean; clear(): void; fetchLink: Context['fetchLink'] }) {
  return props.filtered ? (
    <div className="empty">
      <SearchX size={18} className="tertiary" aria-hidden />
      <div className="strong">No dataset matches</div>
      <p>Names, instruments, venues, categories and descriptions are searched; every word must be there.</p>
      <button type="button" className="button primary" onClick={props.clear}>
        Clear filters
      </button>
    </div>
  ) : (
    <div className="empty">
      <DatabaseZap size={18} className="tertiary" aria-hidden />
      <div className="strong">Nothing is stored yet</div>
      <p>
        A dataset appears here some ten seconds after its first row: of a venue that is collected, fetched
        from a provider, or imported.
      </p>
      {props.fetchLink('Fetch history', 'button primary', 'Fetch history')}
    </div>
  );
}
