import type { PartStatus } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { FeedMark } from '@/shared/FeedWord';
import { bytes, duration, NONE, number } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { freshnessOf, moment_ms } from './collection';

/** The platform's own processes: state, age, what they cost. */
export function Parts({ parts }: { parts: PartStatus[] }) {
  const now_ms = useSecond();
  return (
    <Scroll label="Table of processes">
      <table className="tight">
        <thead>
          <tr>
            <th>Part</th>
            <th>State</th>
            <th className="n">Running for</th>
            <th className="n">CPU</th>
            <th className="n">Memory</th>
          </tr>
        </thead>
        <tbody>
          {parts.map((part) => {
            const freshness = freshnessOf(part.state);
            const since = moment_ms(part.since_ns);
            return (
              <tr key={part.part}>
                <td className="medium">{part.part}</td>
                <td>
                  <span className={`state state-${freshness}`}>
                    <FeedMark freshness={freshness} />
                    {freshness === 'unknown' ? (
                      <span className="hidden">not known</span>
                    ) : (
                      <span className={freshness === 'live' ? 'secondary' : undefined}>{part.state}</span>
                    )}
                  </span>
                </td>
                <td className="n">{since === null ? NONE : duration(Math.max(0, now_ms - since))}</td>
                <td className="n">
                  {part.cpu_percent === null ? NONE : `${number(part.cpu_percent)}\u00a0%`}
                </td>
                <td className="n">{bytes(part.rss_bytes)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
