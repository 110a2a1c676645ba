import type { LogLine } from '@/api/types';
import { timeOfDayMs } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { moment_ms } from './collection';

const TONE: Record<string, string> = { warn: 'state-stale', warning: 'state-stale', error: 'state-error' };

/** A time as the log writes it: nanoseconds, or ISO 8601. */
export function lineMoment_ms(ts: string | null): number {
  if (ts !== null && /\D/.test(ts)) return Date.parse(ts);
  return moment_ms(ts) ?? 0;
}

export const isWarning = (line: LogLine): boolean => line.level.toLowerCase() in TONE;

const SHOWN = new Set(['ts', 'level', 'part', 'message', 'venue', 'reason']);

/** What happened, and why: a reason and a field that the message only names belong to its words. */
export function words(line: LogLine): string {
  const named = line[line.message];
  const told = named == null ? line.message : `${line.message} ${text(named)}`;
  return line.reason == null ? told : `${told}: ${text(line.reason)}`;
}

/** The line's other fields as `name=value`. */
export function rest(line: LogLine): string {
  return Object.entries(line)
    .filter(([name, value]) => !SHOWN.has(name) && name !== line.message && value !== null)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(' ');
}

/** A measured number to the thousandth; everything else as it was written. */
function text(value: unknown): string {
  if (typeof value === 'number') return String(Math.round(value * 1000) / 1000);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

export function LogLines({ lines, venues }: { lines: LogLine[]; venues: boolean }) {
  const zone = useSettings((settings) => settings.zone);
  if (lines.length === 0) return <p className="panel-body small tertiary">Nothing was logged.</p>;
  return (
    <Scroll label="Log lines" className="logs">
      <table className="tight">
        <tbody>
          {lines.map((line, i) => {
            const level = line.level.toLowerCase();
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: log lines have no identity; equal ones may repeat
              <tr key={`${line.ts} ${i}`}>
                <td className="tertiary mono time">{timeOfDayMs(lineMoment_ms(line.ts), zone)}</td>
                {venues && <td className="part">{line.part.replace(/^collector-/, '')}</td>}
                <td className={`level-word ${TONE[level] ?? 'tertiary'}`}>{level}</td>
                <td
                  className={`cut text ${level === 'info' ? 'secondary' : ''}`}
                  title={`${words(line)} ${rest(line)}`}
                >
                  {words(line)} <span className="tertiary">{rest(line)}</span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
