import { Grid3x3 } from 'lucide-react';
import type { ReactNode } from 'react';
import { date, msOfNs, number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { useStudies } from './queries';
import './study.css';

export function StudyList(props: { link: (id: string, content: ReactNode) => ReactNode }) {
  const { data, error, refetch } = useStudies();
  const zone = useSettings((settings) => settings.zone);
  return (
    <Panel title="Studies" note={data ? number(data.items.length) : undefined}>
      {data ? (
        data.items.length === 0 ? (
          <div className="empty">
            <Grid3x3 size={18} className="tertiary" aria-hidden />
            <div className="strong">No study was made yet</div>
            <p>
              A study tries a strategy with many parameters, and says how much of the best is luck. Start one
              beside this list, or in a terminal:{' '}
              <code className="mono">
                tidemill study run sma_cross BTC-USD.sim-kraken --param fast=5:50:5
              </code>
            </p>
          </div>
        ) : (
          <div className="scroll">
            <table>
              <thead>
                <tr>
                  <th>Strategy</th>
                  <th>Data</th>
                  <th>Sampler</th>
                  <th>State</th>
                  <th className="n">Trials</th>
                  <th>When</th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((study) => (
                  <tr key={study.id}>
                    <td>{props.link(study.id, <span className="medium">{study.family}</span>)}</td>
                    <td>{study.dataset}</td>
                    <td>{String(study.plan.sampler ?? '')}</td>
                    <td className={study.state === 'failed' ? 'state-error' : ''}>{study.state}</td>
                    <td className="n">
                      {number(study.trials)} of {number(study.trials_wanted)}
                    </td>
                    <td className="secondary">{date(msOfNs(String(study.created)), zone)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )
      ) : error ? (
        <ErrorState what="Studies" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={4} />
      )}
    </Panel>
  );
}
