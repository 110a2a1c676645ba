// Reads jobs into what the dock shows: their order, their words, and what an event changes of them.

import type { Job, JobState } from '@/api/types';
import { bytes, clock, count, date, msOfNs, number, timeOfDay } from '@/shared/format';

/** What an event tells of a job. */
export type News = Partial<
  Pick<
    Job,
    | 'kind'
    | 'state'
    | 'progress'
    | 'note'
    | 'rate'
    | 'eta_s'
    | 'done'
    | 'total'
    | 'unit'
    | 'attempts'
    | 'cancel_asked'
  >
>;

const TOLD: readonly (keyof News)[] = [
  'kind',
  'state',
  'progress',
  'note',
  'rate',
  'eta_s',
  'done',
  'total',
  'unit',
  'attempts',
  'cancel_asked',
];

/** What of an event's data is about a job: a field that is not said stays as it was. */
export const newsOf = (data: Record<string, unknown>): News =>
  Object.fromEntries(TOLD.filter((name) => data[name] !== undefined).map((name) => [name, data[name]]));

export const hasEnded = (state: JobState): boolean => state !== 'queued' && state !== 'running';
export const hasFailed = (state: JobState): boolean => state === 'failed' || state === 'poisoned';

/** The same job moved on. An end is final: news from before it, heard late, changes nothing. */
export function withNews(job: Job, news: News): Job {
  if (hasEnded(job.state)) return job;
  const changed = Object.entries(news).some(([name, value]) => job[name as keyof News] !== value);
  return changed ? { ...job, ...news } : job;
}

export type Filter = 'all' | 'running' | 'ended' | 'failed';

export const FILTERS: [Filter, string][] = [
  ['all', 'All'],
  ['running', 'Running'],
  ['ended', 'Ended'],
  ['failed', 'Failed'],
];

export interface Group {
  title: 'Running' | 'Waiting' | 'Ended';
  jobs: Job[];
}

const at = (ns: string | null): bigint => BigInt(ns ?? 0);
/** An end that only an event told has no time yet: it was just now. */
const LATEST = 1n << 63n;
const endOf = ({ ended }: Job): bigint => (ended === null ? LATEST : BigInt(ended));
const newest = (a: bigint, b: bigint): number => (a < b ? 1 : a > b ? -1 : 0);

/** What runs first, what waits next in the order in which it will start, what ended last; newest first. */
export function groups(jobs: Job[], filter: Filter): Group[] {
  const wanted = (job: Job): boolean => {
    if (filter === 'failed') return hasFailed(job.state);
    if (filter === 'all') return true;
    return hasEnded(job.state) === (filter === 'ended');
  };
  const shown = jobs.filter(wanted);
  const running = shown.filter(({ state }) => state === 'running');
  const queued = shown.filter(({ state }) => state === 'queued');
  const ended = shown.filter(({ state }) => hasEnded(state));
  running.sort((a, b) => newest(at(a.started), at(b.started)) || a.id.localeCompare(b.id));
  queued.sort(
    (a, b) => b.priority - a.priority || newest(at(b.created), at(a.created)) || a.id.localeCompare(b.id),
  );
  ended.sort((a, b) => newest(endOf(a), endOf(b)) || a.id.localeCompare(b.id));
  const all: Group[] = [
    { title: 'Running', jobs: running },
    { title: 'Waiting', jobs: queued },
    { title: 'Ended', jobs: ended },
  ];
  return all.filter((group) => group.jobs.length > 0);
}

/** Answers to several questions as one list: of a job that is in two, the later answer holds. */
export const merged = (...lists: Job[][]): Job[] => [
  ...new Map(lists.flat().map((job) => [job.id, job])).values(),
];

/** When the latest failure ended, ns; 0 where nothing failed. */
export const lastFailure = (jobs: Job[]): bigint =>
  jobs.reduce((last, job) => {
    const ended = hasFailed(job.state) ? at(job.ended) : 0n;
    return ended > last ? ended : last;
  }, 0n);

const KINDS: Record<string, string> = {
  history: 'Generated history',
  tidy: 'Housekeeping',
  verify: 'Verification',
};

/** `history` is `Generated history`; a kind without words of its own is its name as words. */
export function kindWords(kind: string): string {
  const words = KINDS[kind] ?? kind.replace(/[._-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What is asked of most jobs; its value alone says what it is. */
const PLAIN =
  /^(kind|what|instruments?|venues?|symbols?|interval|table|tables|path|dataset|provider|strategy|format|file|store|between)$/;
const SHOWN = 4;

function valueText(value: unknown): string {
  if (Array.isArray(value)) {
    if (value.some((one) => typeof one === 'object')) return number(value.length);
    const rest = value.length - SHOWN;
    const texts = value.slice(0, SHOWN).map(valueText);
    return rest > 0 ? `${texts.join(', ')} and ${rest} more` : texts.join(', ');
  }
  if (typeof value === 'number') return Number.isInteger(value) ? number(value) : String(value);
  if (typeof value === 'string') return value.replace(/T00:00(:00(\.0+)?)?(Z|\+00:00)?$/, '');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** What was asked, in one line. */
export function askedText(detail: Job['detail']): string {
  // A recipe is long, and an upload's name is nobody's: what the rows are says more.
  const { start, end, recipe, upload: _upload, ...rest } = detail;
  const { instrument, kind, interval } = (recipe ?? {}) as Record<string, unknown>;
  const others = recipe == null ? rest : { instrument, kind, interval, ...rest };
  const between = start && end ? { between: `${valueText(start)} to ${valueText(end)}` } : { start, end };
  const said = Object.entries({ ...others, ...between }).filter(
    ([, value]) => value != null && value !== '' && !(Array.isArray(value) && value.length === 0),
  );
  const plain = said.filter(([name]) => PLAIN.test(name)).map(([, value]) => valueText(value));
  const named = said
    .filter(([name]) => !PLAIN.test(name))
    .map(([name, value]) =>
      value === true ? name.replaceAll('_', ' ') : `${name.replaceAll('_', ' ')} ${valueText(value)}`,
    );
  return [...plain, ...named].join(' \u00b7 ');
}

/** What came of it, a line for each thing. */
export function resultText(result: Job['result']): string {
  const said = Object.entries(result ?? {}).filter(([, value]) => value !== null);
  return said
    .map(([name, value]) => {
      const text = name === 'bytes' && typeof value === 'number' ? bytes(value) : valueText(value);
      return name === 'bytes' ? text : `${name.replaceAll('_', ' ')} ${text}`;
    })
    .join('\n');
}

const OWNERS: Record<string, string> = { beat: 'by the clock' };

/** Who asked for it; what the platform does by itself has nobody. */
export const ownerWords = (owner: string): string => OWNERS[owner] ?? owner;

/** Asks the platform for the job, from a shell on its machine. */
export const curlSnippet = (origin: string, home: string, id: string): string =>
  `curl -s -H "Authorization: Bearer $(cat ${home}/token)" '${origin}/api/v1/jobs/${encodeURIComponent(id)}'`;

/** A measured speed: below ten the tenth matters. */
const rateNumber = (rate: number): string => (Math.abs(rate) < 10 ? number(rate, 1) : count(rate));

const amount = (value: number, unit: string | null): string =>
  unit === 'bytes' ? bytes(value) : count(value);

/** `11.9 M of 16.3 M rows`, `141 trials`; empty where the job does not count. */
export function doneText({ done, total, unit }: Job): string {
  if (done === null) return '';
  const words = unit === null || unit === 'bytes' ? '' : `\u00a0${unit}`;
  const so_far = amount(done, unit);
  return total === null ? `${so_far}${words}` : `${so_far} of ${amount(total, unit)}${words}`;
}

/** `1.2 M rows/s`; empty where nothing was measured. */
export function rateText({ rate, unit }: Job): string {
  if (rate === null) return '';
  return unit === 'bytes' ? `${bytes(rate)}/s` : `${rateNumber(rate)}${unit ? `\u00a0${unit}` : ''}/s`;
}

/** `0:41`, `1:02:03` */
const span = (seconds: number): string => clock(seconds).replace(/^0(?=\d:)/, '');

export const etaText = ({ eta_s }: Job): string => (eta_s === null ? '' : `ETA\u00a0${span(eta_s)}`);

/** Whole per cent; a job that goes on is never at 100. Null where it does not know how much there is. */
export function percentOf({ progress, state, total }: Job): number | null {
  if (state === 'running' && progress === 0 && total === null) return null;
  const whole = Math.floor(Math.min(1, Math.max(0, progress)) * 100);
  return state === 'done' ? 100 : Math.min(whole, hasEnded(state) ? 100 : 99);
}

/** How long something took: `1.9 s`, `4:58`. */
export function tookText(from: string | null, to: string | null): string {
  if (from === null || to === null) return '';
  const ms = Math.max(0, msOfNs(to) - msOfNs(from));
  return ms < 60_000 ? `${number(ms / 1000, 1)}\u00a0s` : span(ms / 1000);
}

/** `14:01:20` today, `20 Nov 2026 14:01` on another day. */
export function momentText(ns: string | null, now_ms: number, zone: string): string {
  if (ns === null) return '';
  const ms = msOfNs(ns);
  const day = date(ms, zone);
  const time = timeOfDay(ms, zone);
  return day === date(now_ms, zone) ? time : `${day} ${time.slice(0, 5)}`;
}

/** The same in a row: `14:01` today, `20 Nov` on another day. */
export function shortMoment(ns: string | null, now_ms: number, zone: string): string {
  if (ns === null) return '';
  const ms = msOfNs(ns);
  const day = date(ms, zone);
  return day === date(now_ms, zone) ? timeOfDay(ms, zone).slice(0, 5) : day.replace(/ \d+$/, '');
}
