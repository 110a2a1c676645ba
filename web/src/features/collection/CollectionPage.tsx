import { Clock, DatabaseZap, Play, Square } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import type { CollectionStatus, CollectorStatus } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { age, number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import './collection.css';
import { asUnknown, freshnessOf, OLD_ANSWER_MS, totals } from './collection';
import { GapPanel } from './GapPanel';
import { LogPanel } from './LogPanel';
import { Parts } from './Parts';
import { Pipeline } from './Pipeline';
import { useCollection, useWanted } from './queries';
import { RateChart } from './RateChart';
import { Trouble } from './Trouble';
import { VenueDrawer } from './VenueDrawer';
import { VenueCards, VenueTable } from './VenueTable';

const NO_COLLECTORS: CollectorStatus[] = [];

/** Every feed of the platform, from the venue to the lake. */
export function CollectionPage() {
  const answer = useCollection();
  const now_ms = useSecond();
  const silent_ms = now_ms - answer.dataUpdatedAt;
  const old = answer.data !== undefined && silent_ms > OLD_ANSWER_MS;
  const status = useMemo(
    () => (old && answer.data ? asUnknown(answer.data) : answer.data),
    [old, answer.data],
  );
  const [open, setOpen] = useState<string | null>(null);
  const phone = usePhone();
  const wanted = useWanted();
  useEffect(() => {
    document.title = 'Collection · Tidemill';
  }, []);
  const collectors = status?.collectors ?? NO_COLLECTORS;
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
        {status && (
          <span className="tertiary small">
            {number(sum.venues)} {sum.venues === 1 ? 'venue' : 'venues'}, {number(sum.instruments)}{' '}
            {sum.instruments === 1 ? 'instrument' : 'instruments'}
            {!old && `, ${number(sum.messages_per_s)} ${phone ? 'msg/s' : 'messages per second'}`}
          </span>
        )}
        <span className="space" />
        {old && (
          <span className="chip stale" role="status">
            <Clock size={12} strokeWidth={2} aria-hidden />
            {phone ? `${age(silent_ms)} old` : `${age(silent_ms)} old: the platform does not answer`}
          </span>
        )}
        {collectors.length > 0 && (
          <button
            type="button"
            className="button"
            disabled={wanted.isPending || old}
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
        {status ? (
          collectors.length === 0 ? (
            <NoCollectors />
          ) : phone ? (
            <VenueCards collectors={collectors} {...actions} />
          ) : (
            <VenueTable collectors={collectors} {...actions} />
          )
        ) : answer.error ? (
          <ErrorState what="Feeds" error={answer.error} retry={() => void answer.refetch()} />
        ) : (
          <SkeletonRows rows={3} />
        )}
      </section>
      <div className="collect-grid">
        <div className="collect-main">
          <Panel title="Pipeline" note="depth and lag at each step">
            {status ? <Pipeline status={status} /> : <SkeletonRows rows={1} />}
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
            <Rates status={status} updated_ms={answer.dataUpdatedAt} />
          </Panel>
          {status && status.parts.length > 0 && (
            <Panel title="Processes" note="of the platform itself">
              <Parts parts={status.parts} />
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
