import { RefreshCw, TriangleAlert } from 'lucide-react';
import type { CollectorStatus } from '@/api/types';
import { useSecond, useTenth } from '@/shared/clock';
import { feedWord } from '@/shared/FeedWord';
import { age, number } from '@/shared/format';
import { copyText } from '@/shared/toast';
import { Words } from '@/shared/Words';
import { moment_ms } from './collection';
import { viewOf } from './VenueTable';

/** A venue that should be live and is not: what is known, what is shown instead, when it is tried again. */
export function Trouble(props: { collector: CollectorStatus; showLogs(venue: string): void }) {
  const { collector, showLogs } = props;
  const now_ms = useSecond();
  const tenth_ms = useTenth();
  const view = viewOf(collector);
  const last = moment_ms(collector.last_message_ns);
  const wait_ms = view.next_try_ms - tenth_ms;
  const failed = view.freshness === 'offline';
  const count = collector.instruments.length;
  return (
    <section className={`panel ${failed ? 'error' : 'stale'}`} aria-label={`${collector.venue} is not live`}>
      <div className="panel-body">
        <div className="row">
          <TriangleAlert size={16} className={failed ? 'state-error' : 'state-stale'} aria-hidden />
          <span className="strong">
            {collector.venue} is {failed ? 'stopped by an error' : collector.state}
          </span>
          <span className="space" />
          {last !== null && <span className="tertiary small">{age(Math.max(0, now_ms - last))}</span>}
        </div>
        <p className="small secondary" style={{ margin: '4px 0 10px' }}>
          <Words
            text={
              collector.error?.message ?? `nothing came since its last message; ${feedWord(view, now_ms)}`
            }
          />{' '}
          {number(count)} {count === 1 ? 'instrument is' : 'instruments are'} shown dimmed with{' '}
          {count === 1 ? 'its' : 'their'} age. <Words text={collector.error?.hint} />
        </p>
        <div className="row">
          <button type="button" className="button s" onClick={() => showLogs(collector.venue)}>
            Logs
          </button>
          <button
            type="button"
            className="button s quiet"
            onClick={() => void copyText(JSON.stringify(collector, null, 2), 'Status')}
          >
            Copy details
          </button>
          <span className="space" />
          {wait_ms > 0 && (
            <span className="small tertiary state">
              <RefreshCw size={12} aria-hidden />
              next try in {number(wait_ms / 1000, 1)} s
            </span>
          )}
        </div>
      </div>
    </section>
  );
}
