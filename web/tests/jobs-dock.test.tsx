// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { act, cleanup, configure, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Job } from '@/api/types';
import { closeDock, openDock, toggleDock, useDock } from '@/features/job/dock';
import { JobsButton } from '@/features/job/JobsButton';
import { JobsDock } from '@/features/job/JobsDock';
import { useCommands } from '@/shared/command';
import { tellEvent, useEventStream } from '@/shared/events';
import { useToast } from '@/shared/toast';
import { job } from './job-example';

configure({ asyncUtilTimeout: 5_000 });

interface Call {
  method: string;
  path: string;
  body: unknown;
}

let calls: Call[] = [];
let jobs: Job[] = [];
/** What the platform answers beside its list; a number is the status of an error. */
let answers: Record<string, unknown> = {};

const ERROR = {
  code: 'store_unreachable',
  category: 'upstream',
  message: 'the store did not answer within 10 s',
  hint: 'start it; `tidemill doctor` checks it',
  retryable: true,
  docs: 'docs/errors.md#upstream',
  request_id: 'r1',
};

async function platform(path: string, init: RequestInit): Promise<Response> {
  const url = new URL(path, 'http://localhost');
  const method = init.method ?? 'GET';
  const body = init.body ? JSON.parse(String(init.body)) : undefined;
  calls.push({ method, path: url.pathname, body });
  const own = answers[`${method} ${url.pathname}`];
  if (typeof own === 'number') return new Response(JSON.stringify(ERROR), { status: own });
  if (own !== undefined) return new Response(JSON.stringify(own));
  if (url.pathname === '/api/v1/session')
    return new Response(JSON.stringify({ subject: 'owner', scopes: [] }));
  const state = url.searchParams.get('state');
  const items = jobs.filter((one) => state === null || one.state === state);
  return new Response(JSON.stringify({ items, next: null }));
}

const asked = (method: string, path: string) =>
  calls.filter((call) => call.method === method && call.path === path);

function Shown() {
  const open = useDock((dock) => dock.open);
  return (
    <>
      <JobsButton phone={false} preload={() => undefined} />
      {open && <JobsDock />}
    </>
  );
}

function show() {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <QueryClientProvider client={client}>
      <Shown />
    </QueryClientProvider>,
  );
}

beforeEach(() => {
  calls = [];
  answers = {};
  jobs = [];
  vi.stubGlobal('fetch', platform);
  vi.stubGlobal('matchMedia', (query: string) => ({
    matches: false,
    media: query,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
  }));
  useEventStream.setState({ state: 'live', attempt: 0, next_try_ms: 0, starts: 0 });
  useDock.setState({ open: true, entered: false, seen_ns: '0' });
  useToast.setState({ toast: null });
  useCommands.setState({
    commands: { 'jobs.toggle': { id: 'jobs.toggle', title: 'Jobs', group: 'View', run: toggleDock } },
  });
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const bar = () => screen.getByRole('progressbar');

describe('a running job', () => {
  beforeEach(() => {
    jobs = [job({ id: 'a', progress: 0.41, done: 41, total: 100, unit: 'rows', rate: 2, eta_s: 30 })];
  });

  it('moves with the events, without asking again', async () => {
    show();
    await waitFor(() => expect(bar().getAttribute('aria-valuenow')).toBe('41'));
    const before = asked('GET', '/api/v1/jobs').length;
    act(() => tellEvent('job_progress', 'a', { state: 'running', progress: 0.62, done: 62, note: 'day 2' }));
    await waitFor(() => expect(bar().getAttribute('aria-valuenow')).toBe('62'));
    expect(screen.getByText('day 2')).toBeTruthy();
    expect(asked('GET', '/api/v1/jobs').length).toBe(before);
  });

  it('that ends is asked for, since the event does not say how', async () => {
    show();
    await waitFor(() => bar());
    jobs = [job({ id: 'a', state: 'failed', ended: '5000000000', error: ERROR as Job['error'] })];
    act(() => tellEvent('job_progress', 'a', { state: 'failed', progress: 0.62 }));
    expect(await screen.findByText(ERROR.message)).toBeTruthy();
    expect(screen.queryByRole('progressbar')).toBeNull();
    expect(screen.getByText('Export: failed').getAttribute('role')).toBe('status');
  });

  it('a job that this page has not seen yet appears', async () => {
    show();
    await waitFor(() => bar());
    jobs = [...jobs, job({ id: 'b', kind: 'verify' })];
    act(() => tellEvent('job_progress', 'b', { kind: 'verify', state: 'running', progress: 0 }));
    expect(await screen.findByRole('button', { name: 'Verification, running' })).toBeTruthy();
  });

  it('an answer that was under way does not undo newer news', async () => {
    show();
    await waitFor(() => bar());
    let answer: (response: Response) => void = () => undefined;
    vi.stubGlobal('fetch', (path: string, init: RequestInit) =>
      path.startsWith('/api/v1/jobs')
        ? new Promise<Response>((resolve) => {
            answer = resolve;
          })
        : platform(path, init),
    );
    act(() => useEventStream.setState({ starts: 1 })); // Asks anew.
    await act(() => new Promise((resolve) => setTimeout(resolve, 20)));
    act(() => tellEvent('job_progress', 'a', { state: 'running', progress: 0.9 }));
    await waitFor(() => expect(bar().getAttribute('aria-valuenow')).toBe('90'));
    await act(async () => answer(new Response(JSON.stringify({ items: jobs, next: null }))));
    await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
    expect(bar().getAttribute('aria-valuenow')).toBe('90');
  });

  it('is not called live while the events are cut off: no rate, no time left, and its age', async () => {
    const { container } = show();
    await screen.findByText(/ETA/);
    expect(screen.getByText('live')).toBeTruthy();
    act(() =>
      useEventStream.setState({ state: 'reconnecting', attempt: 2, next_try_ms: Date.now() + 9_000 }),
    );
    expect(screen.getByText('The events are cut off').getAttribute('role')).toBe('status');
    expect(screen.getByText(/^not live, attempt 2 in/)).toBeTruthy();
    expect(screen.getByText(/^Read 1.s ago: live news are cut off/)).toBeTruthy();
    expect(screen.queryByText('live')).toBeNull();
    expect(container.textContent).not.toMatch(/ETA|rows\/s/);
    expect(bar().getAttribute('aria-valuenow')).toBe('41');
    expect(container.querySelector('.jobs-list.old')).toBeTruthy();
  });

  it('after a cut is asked for again', async () => {
    show();
    await waitFor(() => bar());
    jobs = [job({ id: 'a', progress: 0.77 })];
    act(() => useEventStream.setState({ state: 'live', starts: 2 }));
    await waitFor(() => expect(bar().getAttribute('aria-valuenow')).toBe('77'));
  });
});

describe('cancel', () => {
  beforeEach(() => {
    jobs = [job({ id: 'c' })];
  });

  it('is shown at once and until the job has ended', async () => {
    answers['POST /api/v1/jobs/c/cancel'] = job({ id: 'c', cancel_asked: true });
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Cancel Export' }));
    expect(await screen.findByRole('button', { name: 'Export, cancelling' })).toBeTruthy();
    const button = screen.getByRole('button', { name: 'Cancelling Export' });
    fireEvent.click(button);
    await waitFor(() => expect(asked('POST', '/api/v1/jobs/c/cancel')).toHaveLength(1));
    button.focus();
    jobs = [job({ id: 'c', state: 'cancelled', ended: '5000000000' })];
    act(() => tellEvent('job_progress', 'c', { state: 'cancelled' }));
    expect(await screen.findByRole('button', { name: 'Export, cancelled' })).toBeTruthy();
    expect(document.activeElement).toBe(screen.getByRole('region', { name: 'List of jobs' }));
  });

  it('that is refused is taken back, and says why', async () => {
    jobs = [job({ id: 'd' })];
    answers['POST /api/v1/jobs/d/cancel'] = 503;
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Cancel Export' }));
    await waitFor(() => expect(useToast.getState().toast?.kind).toBe('bad'));
    expect(useToast.getState().toast?.text).toContain('Export was not cancelled: the store did not answer');
    expect(screen.getByRole('button', { name: 'Cancel Export' })).toBeTruthy();
    expect(screen.getByRole('button', { name: 'Export, running' })).toBeTruthy();
  });
});

describe('a failed job', () => {
  beforeEach(() => {
    jobs = [
      job({
        id: 'f',
        state: 'failed',
        ended: '9000000000',
        detail: { instrument: 'BTC-USD.kraken' },
        error: ERROR as Job['error'],
      }),
    ];
  });

  it('opened says why, what to do and where more is written, and shows its log', async () => {
    answers['GET /api/v1/jobs/f/logs'] = {
      items: [{ ts: '1000000000', level: 'warning', text: 'slow disk' }],
      next: 1,
    };
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Export, failed' }));
    expect(screen.getByText('The store did not answer within 10 s.')).toBeTruthy();
    expect(screen.getByText('tidemill doctor').tagName).toBe('CODE');
    expect(screen.getByText('store_unreachable')).toBeTruthy();
    expect(screen.getByText('docs/errors.md#upstream')).toBeTruthy();
    expect(await screen.findByText(/slow disk/)).toBeTruthy();
  });

  it('is submitted anew with what was asked', async () => {
    answers['POST /api/v1/jobs'] = job({ id: 'g', state: 'queued' });
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Retry' }));
    await waitFor(() => expect(asked('POST', '/api/v1/jobs')).toHaveLength(1));
    expect(asked('POST', '/api/v1/jobs')[0]?.body).toEqual({
      kind: 'export',
      detail: { instrument: 'BTC-USD.kraken' },
    });
  });

  it('marks the button until the dock was looked at', async () => {
    useDock.setState({ open: false });
    const { container } = show();
    const name = /^Jobs, 1 failed since you last looked$/;
    await waitFor(() => screen.getByRole('button', { name }));
    expect(container.querySelector('.failed-dot')).toBeTruthy();
    act(openDock);
    act(closeDock);
    expect(screen.getByRole('button', { name: 'Jobs' })).toBeTruthy();
    expect(container.querySelector('.failed-dot')).toBeNull();
  });

  it('that ends while nobody looks is told', async () => {
    useDock.setState({ open: false });
    jobs = [job({ id: 'h' })];
    show();
    await screen.findByRole('button', { name: 'Jobs, 1 running' });
    act(() => tellEvent('job_progress', 'h', { state: 'failed' }));
    await waitFor(() => expect(useToast.getState().toast?.text).toMatch(/^Export failed/));
  });
});

it.each([
  ['mine is told', 'owner', 'Verification is done'],
  ['another’s is not', 'ada', undefined],
])('the end of a job that was over before this page knew it: %s', async (_name, owner, told) => {
  useDock.setState({ open: false });
  show();
  await waitFor(() => expect(asked('GET', '/api/v1/jobs')).toHaveLength(1));
  jobs = [job({ id: 'i', kind: 'verify', state: 'done', ended: '5', owner })];
  act(() => tellEvent('job_progress', 'i', { kind: 'verify', state: 'done' }));
  await waitFor(() => expect(asked('GET', '/api/v1/session')).toHaveLength(1));
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)));
  expect(useToast.getState().toast?.text).toBe(told);
});

describe('the dock', () => {
  it('open and width survive a reload; what it shows comes from the platform', async () => {
    act(() => useDock.setState({ width_px: 500 }));
    const kept = JSON.parse(localStorage.getItem('tidemill.jobs') ?? '{}');
    expect(kept.state).toEqual({ open: true, width_px: 500, seen_ns: '0' });
    await useDock.persist.rehydrate();
    jobs = [job({ id: 'r', progress: 0.3 })];
    show();
    await waitFor(() => expect(bar().getAttribute('aria-valuenow')).toBe('30'));
    expect(screen.getByRole('complementary', { name: 'Jobs' }).style.width).toBe('500px');
  });

  it('takes the focus when it is opened, and Escape gives it back', async () => {
    useDock.setState({ open: false });
    show();
    fireEvent.click(screen.getByRole('button', { name: 'Jobs' }));
    const dock = await screen.findByRole('complementary', { name: 'Jobs' });
    await waitFor(() => expect(document.activeElement).toBe(dock));
    fireEvent.keyDown(within(dock).getByRole('button', { name: 'All' }), { key: 'Escape' });
    expect(screen.queryByRole('complementary')).toBeNull();
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Jobs' }));
  });

  it('grows by the arrow keys, within bounds', () => {
    act(() => useDock.setState({ width_px: 630 }));
    show();
    const edge = screen.getByRole('separator');
    fireEvent.keyDown(edge, { key: 'ArrowLeft' });
    expect(useDock.getState().width_px).toBe(640);
    fireEvent.keyDown(edge, { key: 'ArrowRight' });
    expect(useDock.getState().width_px).toBe(624);
  });

  it('without jobs says what they are and how to start one', async () => {
    show();
    expect(await screen.findByText('No jobs yet')).toBeTruthy();
    expect(screen.getByText('tidemill jobs submit verify')).toBeTruthy();
  });

  it('that cannot be loaded says why and asks again', async () => {
    answers['GET /api/v1/jobs'] = 503;
    show();
    expect(await screen.findByText('Jobs could not be loaded')).toBeTruthy();
    answers = {};
    fireEvent.click(screen.getByRole('button', { name: 'Retry' }));
    expect(await screen.findByText('No jobs yet')).toBeTruthy();
  });

  it('shows whose job it is where it is not mine', async () => {
    jobs = [job({ id: 'o', owner: 'ada' }), job({ id: 'p', kind: 'verify' })];
    show();
    expect(await screen.findByText('ada')).toBeTruthy();
    expect(screen.queryByText('owner')).toBeNull();
  });

  it('filters, and asks the platform for failures of long ago', async () => {
    jobs = [job({ id: 's' }), job({ id: 't', kind: 'verify', state: 'done', ended: '1' })];
    show();
    await screen.findByRole('button', { name: 'Export, running' });
    fireEvent.click(screen.getByRole('button', { name: /^Running/ }));
    expect(screen.queryByRole('button', { name: 'Verification, done' })).toBeNull();
    fireEvent.click(screen.getByRole('button', { name: 'Failed' }));
    expect(await screen.findByText('No job has failed.')).toBeTruthy();
  });
});
