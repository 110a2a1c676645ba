import { Bell } from 'lucide-react';
import type { Firing } from '@/api/types';
import { date, msOfNs, sentence, timeOfDay } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import './alert.css';
import { useFirings } from './queries';

/** What has fired, of one alert or of all, and to whom it was told. */
export function FiringList({ alert }: { alert: string | undefined }) {
  const { data, error, refetch } = useFirings(alert);
  return (
    <Panel title="History" note={alert ? 'of the chosen alert' : undefined}>
      {data ? (
        data.items.length === 0 ? (
          <div className="empty">
            <Bell size={20} strokeWidth={1.5} aria-hidden />
            <p>Nothing has fired yet.</p>
          </div>
        ) : (
          <ul className="firings">
            {data.items.map((one) => (
              <Told key={one.id} firing={one} />
            ))}
          </ul>
        )
      ) : error ? (
        <ErrorState what="History" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={4} />
      )}
    </Panel>
  );
}

const TONE = { sent: 'state-live', waiting: 'state-stale', failed: 'state-error' } as const;

function Told({ firing }: { firing: Firing }) {
  const zone = useSettings((settings) => settings.zone);
  return (
    <li>
      <span className="tertiary small num">{`${date(msOfNs(firing.ts), zone)}, ${timeOfDay(msOfNs(firing.ts), zone)}`}</span>
      <span>{sentence(firing.message)}</span>
      {firing.deliveries.length > 0 && (
        <span className="small">
          {firing.deliveries.map((one, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a rule's channels keep their order
            <span key={at} className={TONE[one.state]}>
              {one.channel} {one.state}
              {one.error !== null && `: ${one.error}`}{' '}
            </span>
          ))}
        </span>
      )}
    </li>
  );
}
