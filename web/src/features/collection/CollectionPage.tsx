import { useQueries } from '@tanstack/react-query';
import { DatabaseZap, Play, Square } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import { api } from '@/api/client';
import type { CollectionStatus, CollectorStatus } from '@/api/types';
import { number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import './collection.css';
import { freshnessOf, totals } from './collection';
import { GapList } from './GapList';
import { isWarning, LogLines, lineMoment_ms } from './LogLines';
import { Parts } from './Parts';
import { Pipeline } from './Pipeline';
import { useCollection, useGaps, useWanted } from './queries';
import { RateChart } from './RateChart';
import { Trouble } from './Trouble';
import { VenueDrawer } from './VenueDrawer';
import { VenueCards, VenueTable } from './VenueTable';

const NO_COLLECTORS: CollectorStatus[] = [];

/** Every feed of the platform, from the venue to the lake. */
export function CollectionPage() {
  const status = useCollection();
  const [open, setOpen] = useState<string | null>(null);
  const phone = usePhone();
  const wanted = useWanted();
  useEffect(() => {
    document.title = 'Collection · Tidemill';
  }, []);
  const collectors = status.data?.collectors ?? NO_COLLECTORS;
  const sum = totals(collectors);
  const anyWanted = collectors.some((collector) => collector.wanted);
  const actions = {
    busy: wanted.isPending ? wanted.variables.venue : null,
    setWanted: (venue: string, value: boolean) => wanted.mutate({ venue, wanted: value }),
    showLogs: setOpen,
  };
  const troubled = collectors.filter(
    ({ state, wanted: on }) => on && ['stale', 'reconnecting', 'offline'].includes(freshnessOf(state)),
  );
  return (
    <div className="page">
      <div className="row page-head">
        {!phone && <h1>Collection</h1>}
        {status.data && (
          <span className="tertiary small">
            {number(sum.venues)} {sum.venues === 1 ? 'venue' : 'venues'}, {number(sum.instruments)}{' '}
            {sum.instruments === 1 ? 'instrument' : 'instruments'}, {number(sum.messages_per_s)} messages per
            second
          </span>
        )}
        <span className="space" />
        {status.data && status.error && (
          <span className="chip stale">not renewed: the platform does not answer</span>
        )}
        {collectors.length > 0 && (
          <button
            type="button"
            className="button"
            disabled={wanted.isPending}
            onClick={() => {
              for (const { venue, wanted: on } of collectors) {
                if (on === anyWanted) wanted.mutate({ venue, wanted: !anyWanted });
              }
            }}
          >
            {anyWanted ? <Square size={14} aria-hidden /> : <Play size={14} aria-hidden />}
            {anyWanted ? 'Stop all' : 'Start all'}
          </button>
        )}
      </div>
      <section className="panel feeds" aria-label="Feeds">
        {status.data ? (
          collectors.length === 0 ? (
            <NoCollectors />
          ) : phone ? (
            <VenueCards collectors={collectors} {...actions} />
          ) : (
            <VenueTable collectors={collectors} {...actions} />
          )
        ) : status.error ? (
          <ErrorState what="Feeds" error={status.error} retry={() => void status.refetch()} />
        ) : (
          <SkeletonRows rows={3} />
        )}
      </section>
      <div className="collect-grid">
        <div className="collect-main">
          <Panel title="Pipeline" note="depth and lag at each step">
            {status.data ? <Pipeline status={status.data} /> : <SkeletonRows rows={1} />}
          </Panel>
          <GapPanel />
          <LogPanel collectors={collectors} />
        </div>
        <div className="collect-side">
          {troubled.map((collector) => (
            <Trouble key={collector.venue} collector={collector} showLogs={setOpen} />
          ))}
          <Panel
            title="Messages per second"
            actions={<span className="note">5 min, stacked by venue</span>}
            className="rates"
          >
            <Rates status={status.data} updated_ms={status.dataUpdatedAt} />
          </Panel>
          {status.data && status.data.parts.length > 0 && (
            <Panel title="Processes" note="of the platform itself">
              <Parts parts={status.data.parts} />
            </Panel>
          )}
        </div>
      </div>
      <VenueDrawer collector={collectors.find(({ venue }) => venue === open)} close={() => setOpen(null)} />
    </div>
  );
}

function Rates(props: { status: CollectionStatus | undefined; updated_ms: number }) {
  if (!props.status) return <SkeletonRows rows={4} />;
  return <RateChart collectors={props.status.collectors} now_ms={props.updated_ms} />;
}

function NoCollectors() {
  return (
    <div className="empty" style={{ minHeight: 160 }}>
      <DatabaseZap size={18} className="tertiary" aria-hidden />
      <div className="strong">No venue is connected</div>
      <p>
        A collector appears here once one is wanted. Connect public data without a key:{' '}
        <code className="mono">tidemill connect kraken</code>
      </p>
    </div>
  );
}

function GapPanel() {
  const gaps = useGaps();
  const open = gaps.data?.items.filter((gap) => gap.ended_at === null).length ?? 0;
  return (
    <Panel
      title="Gaps"
      className="gaps"
      note={
        gaps.data
          ? `${number(gaps.data.items.length)}${gaps.data.next === null ? '' : ' newest'}, ${number(open)} open`
          : ''
      }
    >
      {gaps.data ? (
        <GapList gaps={gaps.data.items} />
      ) : gaps.error ? (
        <ErrorState what="Gaps" error={gaps.error} retry={() => void gaps.refetch()} />
      ) : (
        <SkeletonRows rows={3} />
      )}
    </Panel>
  );
}

/** Newest lines of all collectors together. */
function LogPanel({ collectors }: { collectors: CollectorStatus[] }) {
  const [warnings, setWarnings] = useState(false);
  const names = collectors.map(({ venue }) => venue);
  const { lines, error } = useQueries({
    queries: names.map((venue) => ({
      queryKey: ['logs', venue],
      queryFn: () => api.logs(venue, 200),
      refetchInterval: 3_000,
    })),
    combine: (results) => ({
      lines: results.flatMap((result) => result.data?.items ?? []),
      error: results.find((result) => result.error && !result.data)?.error ?? null,
    }),
  });
  const shown = useMemo(
    () =>
      lines
        .filter((line) => !warnings || isWarning(line))
        .sort((a, b) => lineMoment_ms(b.ts) - lineMoment_ms(a.ts))
        .slice(0, 200),
    [lines, warnings],
  );
  return (
    <Panel
      className="log"
      title="Log"
      note={`${names.length} ${names.length === 1 ? 'collector' : 'collectors'}, newest first`}
      actions={
        // biome-ignore lint/a11y/useSemanticElements: two toggle buttons, not a form
        <div className="segments s" role="group" aria-label="Lines shown">
          <button type="button" aria-pressed={!warnings} onClick={() => setWarnings(false)}>
            All
          </button>
          <button type="button" aria-pressed={warnings} onClick={() => setWarnings(true)}>
            Warnings
          </button>
        </div>
      }
    >
      {error && lines.length === 0 ? (
        <ErrorState what="Log" error={error} />
      ) : (
        <LogLines lines={shown} venues />
      )}
    </Panel>
  );
}
