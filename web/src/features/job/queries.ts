import { type QueryClient, queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { create } from 'zustand';
import { ApiError, api } from '@/api/client';
import type { Job, JobLogLine, JobLogs, Session } from '@/api/types';
import { onEvent, useEventStream } from '@/shared/events';
import { toast } from '@/shared/toast';
import { useDock } from './dock';
import { hasEnded, hasFailed, kindWords, merged, type News, newsOf, withNews } from './job';

export const PAGE = 100;
/** The API gives no more at once. */
export const PAGE_MOST = 1000;
/** Without events the list is asked for; with them, only in case that one was lost. */
const POLL_MS = 3_000;
const RARE_POLL_MS = 60_000;
/** News of this time are drawn together. */
const FLUSH_MS = 100;
/** States may change faster than a list is answered: it is asked for so often, and never cut short. */
const AGAIN_MS = 300;
/** An answer that was asked for before news came may not know them. */
const NEWS_KEPT_MS = 60_000;

const ME = queryOptions({
  queryKey: ['session', 'me'],
  queryFn: () => api.session(),
  staleTime: Number.POSITIVE_INFINITY,
});

export interface JobList {
  jobs: Job[];
  /** There are older ones. */
  more: boolean;
}

interface Heard {
  news: News;
  at_ms: number;
}

/** The newest news of each job, so that an answer that was under way does not undo them. */
const heard = new Map<string, Heard>();

async function answered(ask: () => Promise<JobList>): Promise<JobList> {
  const asked_ms = performance.now();
  const { jobs, more } = await ask();
  return {
    jobs: jobs.map((job) => {
      const last = heard.get(job.id);
      return last && last.at_ms >= asked_ms ? withNews(job, last.news) : job;
    }),
    more,
  };
}

/** The newest jobs, and all that run or wait, however old. */
const newest = (limit: number, signal: AbortSignal) =>
  answered(async () => {
    const page = await api.jobs({ limit }, signal);
    if (page.next === null) return { jobs: page.items, more: false };
    const [running, queued] = await Promise.all([
      api.jobs({ state: 'running', limit: PAGE_MOST }, signal),
      api.jobs({ state: 'queued', limit: PAGE_MOST }, signal),
    ]);
    return { jobs: merged(queued.items, running.items, page.items), more: true };
  });

const failed = (limit: number, signal: AbortSignal) =>
  answered(async () => {
    const pages = await Promise.all([
      api.jobs({ state: 'failed', limit }, signal),
      api.jobs({ state: 'poisoned', limit }, signal),
    ]);
    return {
      jobs: merged(...pages.map(({ items }) => items)),
      more: pages.some(({ next }) => next !== null),
    };
  });

const usePoll = (): number => useEventStream(({ state }) => (state === 'live' ? RARE_POLL_MS : POLL_MS));

export const useJobs = (limit = PAGE) =>
  useQuery({
    queryKey: ['jobs', 'newest', limit],
    queryFn: ({ signal }) => newest(limit, signal),
    refetchInterval: usePoll(),
    placeholderData: (before) => before,
  });

/** Failures alone: the newest page of all jobs may hold none. */
export const useFailedJobs = (limit: number, enabled: boolean) =>
  useQuery({
    queryKey: ['jobs', 'failed', limit],
    queryFn: ({ signal }) => failed(limit, signal),
    refetchInterval: usePoll(),
    placeholderData: (before) => before,
    enabled,
  });

function change(client: QueryClient, edit: (job: Job) => Job): void {
  client.setQueriesData<JobList>({ queryKey: ['jobs'] }, (list) => {
    if (!list) return list;
    const jobs = list.jobs.map(edit);
    return jobs.every((job, i) => job === list.jobs[i]) ? list : { ...list, jobs };
  });
}

const find = (client: QueryClient, id: string): Job | undefined => {
  for (const [, list] of client.getQueriesData<JobList>({ queryKey: ['jobs'] })) {
    const job = list?.jobs.find((one) => one.id === id);
    if (job) return job;
  }
  return undefined;
};

/** Follows what events tell of jobs, from now on; one per page. */
export function useJobNews(): void {
  const client = useQueryClient();
  useEffect(() => {
    const fresh = new Map<string, News>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking: ReturnType<typeof setTimeout> | undefined;
    /** Ended before this page knew them: whose they were is in the answer. */
    const short = new Set<string>();
    const ask = async () => {
      asking = undefined;
      if (client.isFetching({ queryKey: ['jobs'] }) > 0) {
        asking = setTimeout(ask, AGAIN_MS);
        return;
      }
      const ids = [...short];
      short.clear();
      await client.invalidateQueries({ queryKey: ['jobs'] });
      for (const id of ids) {
        const job = find(client, id);
        if (job) announce(client, job);
      }
    };
    const flush = () => {
      timer = undefined;
      let again = false;
      for (const [id, news] of fresh) {
        const before = find(client, id);
        // Times, result and error of a new state are in the answer alone.
        again ||= before === undefined || (news.state !== undefined && news.state !== before.state);
        if (news.state === undefined || !hasEnded(news.state)) continue;
        if (before === undefined) short.add(id);
        else if (!hasEnded(before.state)) announce(client, { ...before, ...news });
      }
      change(client, (job) => {
        const news = fresh.get(job.id);
        return news ? withNews(job, news) : job;
      });
      fresh.clear();
      if (again) asking ??= setTimeout(ask, AGAIN_MS);
    };
    const stop = onEvent('job_progress', (id, data) => {
      const news = { ...fresh.get(id), ...newsOf(data) };
      const now_ms = performance.now();
      fresh.set(id, news);
      for (const [old, { at_ms }] of heard) {
        if (now_ms - at_ms < NEWS_KEPT_MS) break;
        heard.delete(old);
      }
      heard.delete(id); // The newest stands last.
      heard.set(id, { news, at_ms: now_ms });
      timer ??= setTimeout(flush, FLUSH_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
      clearTimeout(asking);
    };
  }, [client]);
  const starts = useEventStream((stream) => stream.starts);
  useEffect(() => {
    if (starts > 0) void client.invalidateQueries({ queryKey: ['jobs'] });
  }, [starts, client]);
}

/** The latest end, for those who do not see the list change. */
export const useSpoken = create<{ text: string }>(() => ({ text: '' }));

/** An end is told once: on screen to whoever asked for the job and does not look, else in words that are only heard. */
function announce(client: QueryClient, job: Job): void {
  const name = kindWords(job.kind);
  const failed = hasFailed(job.state);
  if (useDock.getState().open) {
    useSpoken.setState({ text: `${name}: ${failed ? 'failed' : job.state}` });
    return;
  }
  if (job.state === 'cancelled') return;
  const tell = ({ subject }: Session) => {
    if (job.owner !== subject) return;
    if (failed) toast(`${name} failed: the jobs list says why`, 'bad');
    else toast(`${name} is done`);
  };
  client.fetchQuery(ME).then(tell, () => undefined); // Nobody to tell it to.
}

/** Jobs whose cancel was asked for on this page: shown so until they end, or the platform refuses. */
const useCancelling = create<{ ids: ReadonlySet<string> }>(() => ({ ids: new Set() }));

function setCancelling(id: string, on: boolean): void {
  useCancelling.setState(({ ids }) => {
    const next = new Set(ids);
    if (on) next.add(id);
    else next.delete(id);
    return { ids: next };
  });
}

export const useIsCancelling = (job: Job): boolean =>
  useCancelling(({ ids }) => ids.has(job.id)) || job.cancel_asked;

const whyNot = (error: unknown): string =>
  error instanceof ApiError ? error.body.message : error instanceof Error ? error.message : String(error);

export function useCancel() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (job: Job) => api.cancelJob(job.id),
    onMutate: ({ id }) => setCancelling(id, true),
    onError: (error, { id, kind }) => {
      setCancelling(id, false);
      toast(`${kindWords(kind)} was not cancelled: ${whyNot(error)}`, 'bad');
    },
    onSettled: () => void client.invalidateQueries({ queryKey: ['jobs'] }),
  });
}

/** The same work, asked for anew: a job of its own. */
export function useRetry() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ kind, detail }: Job) => api.submitJob(kind, detail),
    onSuccess: (_answer, { kind }) => toast(`${kindWords(kind)} was submitted again`),
    onError: (error, { kind }) => toast(`${kindWords(kind)} was not submitted: ${whyNot(error)}`, 'bad'),
    onSettled: () => void client.invalidateQueries({ queryKey: ['jobs'] }),
  });
}

/** Who is signed in here; undefined until it is known. */
export const useMe = () => useQuery(ME).data?.subject;

/** Lines kept of a log; older ones are counted. */
export const LINES_MOST = 500;
const LOG_PAGE = 1000;
/** A long log is read in several goes, so that its newest lines are not waited for in one. */
const PAGES_MOST = 20;
const LOG_POLL_MS = 1_000;

export interface Log {
  lines: JobLogLine[];
  /** Lines before the first that is kept. */
  dropped: number;
  after: number;
}

/** The log so far with what came since; reads on until there is no more, within bounds. */
export async function readOn(
  before: Log | undefined,
  read: (after: number, limit: number) => Promise<JobLogs>,
): Promise<Log> {
  let { lines, dropped, after } = before ?? { lines: [], dropped: 0, after: 0 };
  for (let page = 0; page < PAGES_MOST; page++) {
    const { items, next } = await read(after, LOG_PAGE);
    if (items.length > 0) {
      const all = [...lines, ...items];
      dropped += Math.max(0, all.length - LINES_MOST);
      lines = all.slice(-LINES_MOST);
    }
    after = next;
    if (items.length < LOG_PAGE) break;
  }
  return { lines, dropped, after };
}

export function useJobLog({ id, state }: Job) {
  const client = useQueryClient();
  const follow = !hasEnded(state);
  const queryKey = ['job-log', id];
  const log = useQuery({
    queryKey,
    queryFn: ({ signal }) =>
      readOn(client.getQueryData<Log>(queryKey), (after, limit) => api.jobLogs(id, { after, limit }, signal)),
    refetchInterval: follow ? LOG_POLL_MS : false,
  });
  const { refetch } = log;
  useEffect(() => {
    if (!follow) void refetch(); // Its last words.
  }, [follow, refetch]);
  return log;
}
