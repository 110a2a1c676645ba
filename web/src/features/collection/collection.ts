// Reads the platform's status into what the monitor shows.

import type { CollectionStatus, CollectorStatus, Gap, PartStatus } from '@/api/types';
import type { Freshness } from '@/shared/feed-state';
import { msOfNs } from '@/shared/format';

const STATES: Record<string, Freshness> = {
  live: 'live',
  starting: 'connecting',
  connecting: 'connecting',
  stale: 'stale',
  reconnecting: 'reconnecting',
  idle: 'idle',
  draining: 'idle',
  failed: 'offline',
  stopped: 'idle',
  unknown: 'unknown',
};

export const freshnessOf = (state: string): Freshness => STATES[state] ?? 'connecting';

/** Milliseconds since the epoch of a time that may be absent or zero. */
export function moment_ms(ns: string | number | null | undefined): number | null {
  if (ns === null || ns === undefined || Number(ns) <= 0) return null;
  return typeof ns === 'number' ? ns / 1e6 : msOfNs(ns);
}

/** Answers come each second; older than this and nobody knows whether they still hold. */
export const OLD_ANSWER_MS = 5_000;

/** A status that is not renewed: its numbers stay, and no feed is called live for them. */
export function asUnknown(status: CollectionStatus): CollectionStatus {
  const unknown = <T extends { state: string }>(part: T): T => ({ ...part, state: 'unknown' });
  return {
    ...status,
    collectors: status.collectors.map(unknown),
    parts: status.parts.map(unknown),
  };
}

/** Newest first; gaps of one moment by name, so that a list that is read again stands still. */
export function orderedGaps(gaps: Gap[]): Gap[] {
  return [...gaps].sort(
    (a, b) =>
      Number(BigInt(b.opened_at) - BigInt(a.opened_at)) ||
      (a.instrument ?? '').localeCompare(b.instrument ?? '') ||
      a.channel.localeCompare(b.channel),
  );
}

/** Names of a collector's instruments without its venue; while it is stopped they come as they were asked for. */
export const baseNames = ({ instruments, venue }: CollectorStatus): string[] =>
  instruments.map((name) => (name.endsWith(`.${venue}`) ? name.slice(0, -venue.length - 1) : name));

export interface Totals {
  venues: number;
  instruments: number;
  messages_per_s: number;
}

export function totals(collectors: CollectorStatus[]): Totals {
  return {
    venues: collectors.length,
    instruments: collectors.reduce((sum, { instruments }) => sum + instruments.length, 0),
    messages_per_s: collectors.reduce((sum, collector) => sum + (collector.messages_per_s ?? 0), 0),
  };
}

/** Rates of the last five minutes, one place per `step_s`; null where nothing was measured. */
export function sparkValues(
  history: CollectorStatus['history'],
  now_ms: number,
  step_s = 5,
): (number | null)[] {
  const places = Math.floor(300 / step_s);
  const values: (number | null)[] = Array.from({ length: places }, () => null);
  for (const { ts, messages_per_s } of history) {
    const at = moment_ms(ts);
    if (at === null) continue;
    const index = places - 1 - Math.floor((now_ms - at) / 1000 / step_s);
    if (index >= 0 && index < places) values[index] = messages_per_s;
  }
  return values;
}

/** The same status with one collector's wanted state changed: shown until the platform answers. */
export function withWanted(status: CollectionStatus, venue: string, wanted: boolean): CollectionStatus {
  return {
    ...status,
    collectors: status.collectors.map((collector) =>
      collector.venue === venue
        ? { ...collector, wanted, state: wanted ? 'starting' : 'draining' }
        : collector,
    ),
  };
}

export const partNamed = (status: CollectionStatus, name: string): PartStatus | undefined =>
  status.parts.find(({ part }) => part === name);

/** Records that a power cut would take: written, and not yet on disk. */
export const undurable = ({ sequence, durable }: CollectorStatus): number =>
  Math.max(0, (sequence ?? 0) - (durable ?? 0));

/** A number of the answer under the first of several names; null where the platform does not say. */
export function figure(source: unknown, ...names: string[]): number | null {
  if (typeof source !== 'object' || source === null) return null;
  for (const name of names) {
    const value = (source as Record<string, unknown>)[name];
    if (typeof value === 'number') return value;
  }
  return null;
}
