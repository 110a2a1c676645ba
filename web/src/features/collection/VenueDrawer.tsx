import { Drawer } from 'antd';
import { X } from 'lucide-react';
import type { CollectorStatus } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { FeedWord } from '@/shared/FeedWord';
import { age, bytes, latency, NONE, number } from '@/shared/format';
import { ErrorState, SkeletonRows } from '@/shared/Panel';
import { Words } from '@/shared/Words';
import { baseNames, moment_ms, undurable } from './collection';
import { LogLines } from './LogLines';
import { useLogs } from './queries';
import { viewOf } from './VenueTable';

/** One collector: what it is connected to, how it does, its newest log lines. */
export function VenueDrawer(props: { collector: CollectorStatus | undefined; close(): void }) {
  const { collector, close } = props;
  return (
    <Drawer
      open={collector !== undefined}
      onClose={close}
      closable={false}
      size={620}
      title={collector?.venue}
      extra={
        <button type="button" className="icon-button" aria-label="Close" onClick={close}>
          <X size={16} aria-hidden />
        </button>
      }
      styles={{
        section: { background: 'var(--bg-panel)' },
        header: { padding: '8px 12px' },
        body: { padding: 0, display: 'flex', flexDirection: 'column' },
      }}
    >
      {collector && <Details collector={collector} />}
    </Drawer>
  );
}

function Details({ collector }: { collector: CollectorStatus }) {
  const logs = useLogs(collector.venue);
  const now_ms = useSecond();
  const since = moment_ms(collector.since_ns);
  return (
    <>
      <div className="panel-body" style={{ flex: 'none' }}>
        <div className="row small" style={{ marginBottom: 8 }}>
          <FeedWord view={viewOf(collector)} now_ms={now_ms} />
          <span className="tertiary">{since === null ? '' : `for ${age(now_ms - since)}`}</span>
        </div>
        {collector.error && (
          <p className="small state-stale" style={{ marginBottom: 8 }}>
            <Words text={collector.error.message} />{' '}
            <span className="secondary">
              <Words text={collector.error.hint} />
            </span>
          </p>
        )}
        <dl className="facts two">
          <dt>Protocol</dt>
          <dd>{collector.protocol}</dd>
          <dt>Address</dt>
          <dd className={collector.url ? 'mono' : undefined}>{collector.url ?? NONE}</dd>
          <dt>Position</dt>
          <dd>
            {collector.epoch ? `epoch ${collector.epoch}, sequence ${number(collector.sequence)}` : NONE}
          </dd>
          <dt>Not yet on disk</dt>
          <dd>{number(undurable(collector))} records</dd>
          <dt>Messages</dt>
          <dd>{number(collector.messages)}</dd>
          <dt>Set aside as unreadable</dt>
          <dd>{number(collector.quarantined)}</dd>
          <dt>Lag p50, p99</dt>
          <dd>
            {collector.lag_p50_ns === null
              ? NONE
              : `${latency(collector.lag_p50_ns)}, ${latency(collector.lag_p99_ns)}`}
          </dd>
          <dt>Memory</dt>
          <dd>{bytes(collector.rss_bytes)}</dd>
          <dt>Process</dt>
          <dd>{collector.pid ?? NONE}</dd>
          <dt>Instruments</dt>
          <dd>{number(collector.instruments.length)}</dd>
        </dl>
        <p className="small secondary instrument-names">{baseNames(collector).join(', ')}</p>
      </div>
      <header className="panel-head" style={{ borderTop: '1px solid var(--line-subtle)' }}>
        <h2>Log</h2>
        <span className="note">newest first</span>
      </header>
      {logs.data ? (
        <LogLines lines={[...logs.data.items].reverse()} venues={false} />
      ) : logs.error ? (
        <ErrorState what="Log" error={logs.error} retry={() => void logs.refetch()} />
      ) : (
        <SkeletonRows rows={6} />
      )}
    </>
  );
}
