import { ShieldCheck, TriangleAlert, Unplug } from 'lucide-react';
import type { ReactNode } from 'react';
import type { Gap } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { date, duration, NONE, number, timeOfDay } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { moment_ms, orderedGaps } from './collection';

const MARK: Record<Gap['state'] | 'ended' | 'whole', { word: string; tone: string; icon: ReactNode }> = {
  open: { word: 'open', tone: 'state-gap', icon: <TriangleAlert size={12} strokeWidth={2} aria-hidden /> },
  ended: {
    word: 'not filled',
    tone: 'state-gap',
    icon: <TriangleAlert size={12} strokeWidth={2} aria-hidden />,
  },
  filled: {
    word: 'repaired',
    tone: 'state-repaired',
    icon: <ShieldCheck size={12} strokeWidth={2} aria-hidden />,
  },
  whole: {
    word: 'nothing lost',
    tone: 'tertiary',
    icon: <ShieldCheck size={12} strokeWidth={2} aria-hidden />,
  },
  unfillable: {
    word: 'cannot be filled',
    tone: 'tertiary',
    icon: <Unplug size={12} strokeWidth={2} aria-hidden />,
  },
};

/** The ledger keeps a gap open until it is filled; on screen one that ended is told from one that goes on. */
function markOf(gap: Gap): keyof typeof MARK {
  if (gap.state !== 'open' || gap.ended_at === null) return gap.state;
  return gap.missing === 0 ? 'whole' : 'ended';
}

/** Holes in the venues' streams, newest first: what is missing, since when, why. */
export function GapList({ gaps }: { gaps: Gap[] }) {
  const zone = useSettings((settings) => settings.zone);
  const now_ms = useSecond();
  if (gaps.length === 0) {
    return (
      <div className="empty">
        <ShieldCheck size={18} className="tertiary" aria-hidden />
        <div className="strong">No gaps</div>
        <p>A hole in a venue’s stream is listed here with its times, its cause and whether it was filled.</p>
      </div>
    );
  }
  return (
    <Scroll label="Gaps, newest first">
      <table className="tight gap-table">
        <thead>
          <tr>
            <th>State</th>
            <th>Instrument</th>
            <th>Channel</th>
            <th>Cause</th>
            <th className="n">Since</th>
            <th className="n">Length</th>
            <th className="n">Missing</th>
          </tr>
        </thead>
        <tbody>
          {orderedGaps(gaps).map((gap) => {
            // By the venue's clock where it is known, as on the chart: noticed is later than begun.
            const opened = moment_ms(gap.ts_event_open) ?? moment_ms(gap.opened_at);
            const ended =
              gap.ended_at === null ? null : (moment_ms(gap.ts_event_end) ?? moment_ms(gap.ended_at));
            const mark = MARK[markOf(gap)];
            const length = opened === null ? null : Math.max(0, (ended ?? now_ms) - opened);
            return (
              <tr key={gap.id}>
                <td>
                  <span className={`state ${mark.tone}`}>
                    {mark.icon}
                    {mark.word}
                  </span>
                </td>
                <td>{gap.instrument ?? gap.venue}</td>
                <td className="secondary">{gap.channel}</td>
                <td className="secondary">{gap.cause}</td>
                <td className="n" title={opened === null ? undefined : date(opened, zone)}>
                  {opened === null ? NONE : timeOfDay(opened, zone)}
                </td>
                <td className="n">{duration(length)}</td>
                <td className="n">{gap.missing < 0 ? 'unknown' : number(gap.missing)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
