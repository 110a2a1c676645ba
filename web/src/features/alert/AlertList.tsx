import { BellRing, FlaskConical, Trash2 } from 'lucide-react';
import type { Alert } from '@/api/types';
import { date, msOfNs, number, sentence, timeOfDay } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import './alert.css';
import { useAlerts, useDeleteAlert, useSwitchAlert, useTestAlert } from './queries';

/** What is watched: on, off, tried and taken away. */
export function AlertList(props: { chosen: string | undefined; choose(id: string | undefined): void }) {
  const { data, error, refetch } = useAlerts();
  return (
    <Panel title="Alerts" note={data ? `${number(data.items.length)} watched` : undefined}>
      {data ? (
        data.items.length === 0 ? (
          <div className="empty">
            <BellRing size={20} strokeWidth={1.5} aria-hidden />
            <p>Nothing is watched yet. The form beside this list makes the first alert.</p>
          </div>
        ) : (
          <ul className="alerts">
            {data.items.map((one) => (
              <Row
                key={one.id}
                alert={one}
                chosen={props.chosen === one.id}
                choose={() => props.choose(props.chosen === one.id ? undefined : one.id)}
              />
            ))}
          </ul>
        )
      ) : error ? (
        <ErrorState what="Alerts" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={4} />
      )}
    </Panel>
  );
}

function Row({ alert, chosen, choose }: { alert: Alert; chosen: boolean; choose(): void }) {
  const zone = useSettings((settings) => settings.zone);
  const change = useSwitchAlert();
  const remove = useDeleteAlert();
  const test = useTestAlert();
  const when = (ns: string) => `${date(msOfNs(ns), zone)}, ${timeOfDay(msOfNs(ns), zone)}`;
  const ways = alert.channels.map(({ channel }) => String(channel)).join(', ');
  return (
    <li className={chosen ? 'chosen' : ''}>
      <label className="check">
        <input
          type="checkbox"
          checked={alert.enabled}
          onChange={({ target }) => change.mutate({ id: alert.id, enabled: target.checked })}
        />
        <span className="hidden">Watch {alert.name}</span>
      </label>
      <button type="button" className="alert-name" aria-pressed={chosen} onClick={choose}>
        <span className="medium">{sentence(alert.name)}</span>
        {alert.name !== alert.sentence && <span className="secondary small">{sentence(alert.sentence)}</span>}
        <span className="tertiary small">
          {alert.fired === null
            ? 'has not fired'
            : `fired ${alert.count === 1 ? 'once' : `${number(alert.count)} times, last`} ${when(alert.fired)}`}
          {ways !== '' && ` · ${ways}`}
          {alert.once && ' · once'}
          {alert.expires !== null && ` · until ${when(alert.expires)}`}
        </span>
        {alert.trouble !== null && <span className="state-error small">{alert.trouble}</span>}
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label={`Test ${alert.name}`}
        title="Tell its channels a test"
        onClick={() => test.mutate(alert.id)}
      >
        <FlaskConical size={14} aria-hidden />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label={`Delete ${alert.name}`}
        onClick={() => remove.mutate(alert.id)}
      >
        <Trash2 size={14} aria-hidden />
      </button>
    </li>
  );
}
