import { Bell, BellOff, ChartCandlestick, Copy } from 'lucide-react';
import { type KeyboardEvent, type ReactNode, useMemo } from 'react';
import type { Dataset } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { type Command, useRegister } from '@/shared/command';
import { DATASET_TABS, type DatasetTab } from '@/shared/dataset-search';
import { useVenueFeed } from '@/shared/feeds';
import { bytes, date, msOfNs, NONE, number, timeOfDay } from '@/shared/format';
import { ErrorState, SkeletonRows } from '@/shared/Panel';
import { useConfig } from '@/shared/queries';
import { useSettings } from '@/shared/settings';
import { copyText } from '@/shared/toast';
import { About } from './About';
import { Coverage } from './Coverage';
import { Badge, Collect } from './DatasetCard';
import './dataset.css';
import { median, shareText } from './dataset';
import { Lineage } from './Lineage';
import { Quality } from './Quality';
import { useCollecting, useDataset, useFollow, useGrowth } from './queries';
import { Schema } from './Schema';
import { curlSnippet, pythonSnippet, sqlSnippet } from './snippet';
import { UseIt } from './UseIt';

/** One dataset: what it is, what it has of what there was, how good that is, and how to use it. */
export function DatasetPage(props: {
  id: string;
  tab: DatasetTab;
  show(tab: DatasetTab): void;
  back: ReactNode;
  chart(instrument: string, content: ReactNode): ReactNode;
}) {
  const { id, tab, show, back, chart } = props;
  const { data: row, error, refetch } = useDataset(id);
  useGrowth();
  if (!row) {
    return (
      <>
        <div className="row page-head">
          {back}
          <h1 className="cut">{id}</h1>
        </div>
        <section className="panel">
          {error ? (
            <ErrorState what="The dataset" error={error} retry={() => void refetch()} />
          ) : (
            <SkeletonRows rows={6} />
          )}
        </section>
      </>
    );
  }
  return (
    <>
      <Head row={row} back={back} chart={chart} failed={error !== null} />
      <Facts row={row} />
      <Tabs tab={tab} show={show} />
      <div id="dataset-part" role="tabpanel" aria-labelledby={`tab-${tab}`} className="dataset-part">
        {tab === 'about' ? (
          <About row={row} />
        ) : tab === 'schema' ? (
          <Schema row={row} />
        ) : tab === 'coverage' ? (
          <Coverage row={row} />
        ) : tab === 'quality' ? (
          <Quality row={row} />
        ) : tab === 'use' ? (
          <UseIt row={row} />
        ) : (
          <Lineage row={row} />
        )}
      </div>
    </>
  );
}

function Head(props: {
  row: Dataset;
  back: ReactNode;
  chart(instrument: string, content: ReactNode): ReactNode;
  failed: boolean;
}) {
  const { row, back, chart, failed } = props;
  const feed = useVenueFeed(row.venue);
  const now_ms = useSecond();
  const follow = useFollow();
  const collect = useCollecting();
  const copies = useCopies(row);
  return (
    <div className="row page-head dataset-head">
      {back}
      <h1>{row.name}</h1>
      <span className="chip">{row.venue}</span>
      <Badge row={row} feed={feed} now_ms={now_ms} />
      {failed && <span className="chip stale">not renewed</span>}
      <span className="space" />
      <Collect
        row={row}
        collect={() => collect.mutate({ venue: row.venue, wanted: row.status !== 'collecting' })}
      />
      <button
        type="button"
        className={`icon-button ${row.subscribed ? 'on' : ''}`}
        aria-pressed={row.subscribed}
        aria-label="Be told when it grows"
        title={row.subscribed ? 'You are told when it grows' : 'Be told when it grows'}
        onClick={() => follow.mutate({ id: row.id, name: row.name, followed: !row.subscribed })}
      >
        {row.subscribed ? <Bell size={16} aria-hidden /> : <BellOff size={16} aria-hidden />}
      </button>
      {copies.map(({ name, copy }) => (
        <button key={name} type="button" className="button dataset-copy" onClick={copy}>
          <Copy size={13} aria-hidden />
          Copy as {name}
        </button>
      ))}
      {chart(
        row.instrument,
        <>
          <ChartCandlestick size={14} aria-hidden />
          Open chart
        </>,
      )}
    </div>
  );
}

/** The same text by button and by the palette. */
function useCopies(row: Dataset): { name: string; copy(): void }[] {
  const home = useConfig().data?.home ?? '~/.local/share/tidemill';
  const { instrument, kind, venue, resolution } = row;
  const copies = useMemo(() => {
    const named = { instrument, kind, venue, resolution };
    return [
      { name: 'Python', copy: () => void copyText(pythonSnippet(named), 'Python') },
      { name: 'SQL', copy: () => void copyText(sqlSnippet(named), 'SQL') },
      { name: 'curl', copy: () => void copyText(curlSnippet(location.origin, home, named), 'curl') },
    ];
  }, [instrument, kind, venue, resolution, home]);
  const commands = useMemo(
    () =>
      copies.map(
        ({ name, copy }): Command => ({
          id: `dataset.copy.${name.toLowerCase()}`,
          title: `Copy this dataset as ${name}`,
          group: 'Data',
          words: 'snippet code',
          run: copy,
        }),
      ),
    [copies],
  );
  useRegister(commands);
  return copies;
}

function Facts({ row }: { row: Dataset }) {
  const zone = useSettings((settings) => settings.zone);
  const last = row.end === null ? null : msOfNs(row.end);
  const usual = median(row.recent?.rows?.filter((count) => count > 0) ?? []);
  const cells: [string, string, string, string?][] = [
    ['Rows', number(row.rows), row.start === null ? '' : `since ${date(msOfNs(row.start), zone)}`],
    [
      'Complete',
      shareText(row.completeness),
      'of the time its market was open',
      row.completeness < 1 ? 'state-gap' : '',
    ],
    ['Gaps', number(row.gaps), 'touch it in the ledger', row.gaps > 0 ? 'state-gap' : ''],
    [
      'Rows per day',
      number(usual ?? row.rows_per_day),
      usual === null ? 'mean of its whole range' : 'median of its newest days',
    ],
    ['Last row', last === null ? NONE : timeOfDay(last, zone), last === null ? '' : date(last, zone)],
    ['Size', bytes(row.bytes), `${number(row.bytes / Math.max(1, row.rows), 1)} bytes per row`],
  ];
  return (
    <dl className="panel dataset-kpis">
      {cells.map(([name, value, note, tone]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className={`kpi ${tone ?? ''}`}>{value}</dd>
          <dd className="micro tertiary">{note}</dd>
        </div>
      ))}
    </dl>
  );
}

function Tabs({ tab, show }: { tab: DatasetTab; show(tab: DatasetTab): void }) {
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = DATASET_TABS.findIndex(([name]) => name === tab);
    const next = DATASET_TABS[(at + step + DATASET_TABS.length) % DATASET_TABS.length];
    if (!next) return;
    show(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  };
  return (
    <div className="dataset-tabs" role="tablist" aria-label="Parts of the dataset" onKeyDown={onKeyDown}>
      {DATASET_TABS.map(([name, words]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-selected={tab === name}
          aria-controls="dataset-part"
          tabIndex={tab === name ? 0 : -1}
          onClick={() => show(name)}
        >
          {words}
        </button>
      ))}
    </div>
  );
}
