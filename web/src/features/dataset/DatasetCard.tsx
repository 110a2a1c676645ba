import { Bell, BellOff, CircleDashed, Plug, ShieldCheck, Square, Wrench } from 'lucide-react';
import { memo, type ReactNode } from 'react';
import type { Dataset, Provider } from '@/api/types';
import { FeedMark, feedWord } from '@/shared/FeedWord';
import type { FeedView } from '@/shared/feed-state';
import { bytes, count, number } from '@/shared/format';
import { accessOf, barPaths, rangeText, shareText, title, wordOf } from './dataset';

export interface CardActions {
  /** The anchor of the dataset's page, on one of its tabs. */
  link(
    id: string,
    content: ReactNode,
    tab?: 'about' | 'coverage',
    className?: string,
    label?: string,
  ): ReactNode;
  follow(row: Dataset): void;
  collect(row: Dataset): void;
}

/** What is the matter with a dataset now, by a shape, a word and a colour. */
export function Badge(props: { row: Dataset; feed: FeedView | undefined; now_ms: number }) {
  const { row, feed, now_ms } = props;
  const lacking = (row.recent?.completeness.at(-1) ?? 1) < 1;
  if (row.status === 'collecting' && feed) {
    if (feed.freshness !== 'live' || !lacking) {
      return (
        <span className={`state small state-${feed.freshness}`}>
          <FeedMark freshness={feed.freshness} />
          {title(feedWord(feed, now_ms))}
        </span>
      );
    }
    return (
      <span
        className="state small state-gap"
        title={`${shareText(row.recent?.completeness.at(-1) ?? 1)} of its last day is here`}
      >
        <Square size={9} fill="currentColor" aria-hidden />
        Live, gap today
      </span>
    );
  }
  if (row.completeness < 1) {
    return (
      <span className="state small state-gap">
        <Square size={9} fill="currentColor" aria-hidden />
        {row.gaps > 0 ? `${number(row.gaps)} ${row.gaps === 1 ? 'gap' : 'gaps'}` : 'Days missing'}
      </span>
    );
  }
  return (
    <span className="state small state-live">
      <ShieldCheck size={12} strokeWidth={2} aria-hidden />
      Complete
    </span>
  );
}

/** Rows of each of the last sixty days. */
export function RowsPerDay({ row, width, height }: { row: Dataset; width: number; height: number }) {
  if (!row.recent?.rows) return <span className="micro tertiary">The store does not tell rows by day.</span>;
  const { whole, lacking, empty } = barPaths(row.recent.rows, row.recent.completeness, width, height);
  return (
    <svg
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      width="100%"
      height={height}
      role="img"
      aria-label={`Rows per day of ${row.name}, ${row.recent.rows.length} days, ${number(row.recent.rows.at(-1))} on the last`}
    >
      <path d={whole} fill="var(--accent-solid)" />
      <path d={lacking} fill="var(--state-gap)" />
      <path d={empty} fill="var(--line-default)" />
    </svg>
  );
}

/** Everything a reader of the marketplace asks of a dataset, in one frame. */
export const DatasetCard = memo(function DatasetCard(
  props: { row: Dataset; feed: FeedView | undefined; now_ms: number } & CardActions,
) {
  const { row, feed, now_ms, link, follow } = props;
  return (
    <article className="panel data-card" aria-label={`${row.name}, ${row.venue}`}>
      <div className="row">
        <h2 className="cut">{link(row.id, row.name, undefined, 'data-name')}</h2>
        <span className="space" />
        <Badge row={row} feed={feed} now_ms={now_ms} />
      </div>
      <div className="small tertiary cut">
        {row.venue} · {title(row.category)} · {wordOf(row.access)}
      </div>
      <div className="small secondary cut" title={row.description}>
        {row.description}
      </div>
      <div className="data-bars">
        <RowsPerDay row={row} width={302} height={34} />
      </div>
      <div className="micro tertiary">
        rows per day,{' '}
        {row.recent?.completeness.length === 1 ? '1 day' : `${row.recent?.completeness.length ?? 0} days`}
      </div>
      <dl className="data-facts">
        <div>
          <dt>Rows</dt>
          <dd title={number(row.rows)}>{count(row.rows)}</dd>
        </div>
        <div>
          <dt>Size</dt>
          <dd>{bytes(row.bytes)}</dd>
        </div>
        <div>
          <dt>Frequency</dt>
          <dd>{wordOf(row.resolution)}</dd>
        </div>
        <div className="two">
          <dt>Range</dt>
          <dd>{rangeText(row, now_ms)}</dd>
        </div>
        <div>
          <dt>Complete</dt>
          <dd className={row.completeness < 1 ? 'state-gap' : undefined}>{shareText(row.completeness)}</dd>
        </div>
      </dl>
      <div className="row data-actions">
        {link(row.id, 'View', undefined, 'button s', `View ${row.name}, ${row.venue}`)}
        {row.completeness < 1 && row.access !== 'own'
          ? link(
              row.id,
              <>
                <Wrench size={13} aria-hidden />
                Repair
              </>,
              'coverage',
              'button s quiet',
              `Repair ${row.name}, ${row.venue}`,
            )
          : link(row.id, 'Configure', 'about', 'button s quiet', `Configure ${row.name}, ${row.venue}`)}
        <button
          type="button"
          className={`icon-button s ${row.subscribed ? 'on' : ''}`}
          aria-pressed={row.subscribed}
          aria-label={`Be told when ${row.name} of ${row.venue} grows`}
          title={row.subscribed ? 'You are told when it grows' : 'Be told when it grows'}
          onClick={() => follow(row)}
        >
          {row.subscribed ? <Bell size={14} aria-hidden /> : <BellOff size={14} aria-hidden />}
        </button>
        <span className="space" />
        <Collect {...props} />
      </div>
    </article>
  );
});

/** Whether its venue is collected; a collector has all of a venue's instruments at once, and says so. */
export function Collect({ row, collect }: { row: Dataset } & Pick<CardActions, 'collect'>) {
  if (row.delivery !== 'live') return <span className="micro tertiary">{wordOf(row.delivery)}</span>;
  const on = row.status === 'collecting';
  return (
    <button
      type="button"
      role="switch"
      aria-checked={on}
      aria-label={`Collect ${row.venue}, for ${row.name}`}
      title={`${on ? 'Stops' : 'Starts'} the collector of ${row.venue}, with all of its instruments`}
      className="data-switch micro"
      onClick={() => collect(row)}
    >
      <span className={on ? undefined : 'tertiary'}>{on ? 'Collecting' : 'Paused'}</span>
      <i aria-hidden />
    </button>
  );
}

/** What could be had: a provider of which nothing is stored. */
export const OfferCard = memo(function OfferCard(props: {
  provider: Provider;
  fetchLink(content: ReactNode, className: string, label: string): ReactNode;
}) {
  const { provider, fetchLink } = props;
  const access = accessOf(provider);
  const missing = provider.credentials.filter(({ required, set }) => required && !set);
  return (
    <article className="panel data-card" aria-label={`${provider.name}, nothing stored`}>
      <div className="row">
        <h2 className="cut">{title(provider.name)}</h2>
        <span className="space" />
        <span className="state small state-idle">
          <CircleDashed size={12} strokeWidth={2} aria-hidden />
          {missing.length > 0 ? 'Not connected' : 'Nothing stored'}
        </span>
      </div>
      <div className="small tertiary cut">
        {provider.kinds.join(', ')} · {wordOf(access)}
      </div>
      <p className="small secondary data-offer">{provider.summary}</p>
      {missing.length > 0 && (
        <p className="micro tertiary data-offer">
          Set {missing.map(({ variables }) => variables[0]).join(' and ')} where the platform runs.
        </p>
      )}
      <dl className="data-facts">
        <div>
          <dt>Rows</dt>
          <dd>—</dd>
        </div>
        <div>
          <dt>Size</dt>
          <dd>—</dd>
        </div>
        <div>
          <dt>Frequency</dt>
          <dd>{provider.intervals[0] ?? wordOf('event')}</dd>
        </div>
      </dl>
      <div className="row data-actions">
        {fetchLink(
          <>
            <Plug size={13} aria-hidden />
            {missing.length > 0 ? 'Connect' : 'Fetch'}
          </>,
          'button s primary',
          `${missing.length > 0 ? 'Connect' : 'Fetch from'} ${provider.name}`,
        )}
      </div>
    </article>
  );
});

/** The shape of a card that comes. */
export function CardSkeleton() {
  return (
    <div className="panel data-card" aria-hidden>
      <div className="row">
        <i className="skeleton" style={{ width: 128 }} />
        <span className="space" />
        <i className="skeleton" style={{ width: 52 }} />
      </div>
      <i className="skeleton" style={{ width: 170, margin: '8px 0' }} />
      <i className="skeleton" style={{ width: 110 }} />
      <i className="skeleton" style={{ height: 34, margin: '12px 0' }} />
      <i className="skeleton" style={{ width: '80%' }} />
      <i className="skeleton" style={{ width: '60%', marginTop: 14 }} />
    </div>
  );
}
