// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, configure, fireEvent, render, screen, waitFor } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Lab } from '@/api/types';
import { ResearchPage } from '@/app/ResearchPage';
import { addressOf } from '@/features/lab/queries';
import { useToast } from '@/shared/toast';

configure({ asyncUtilTimeout: 15_000 });
vi.setConfig({ testTimeout: 30_000 }); // A busy machine takes seconds to draw the first page.

const notebook = (name: string, kind: 'jupyter' | 'marimo', url: string | null = null) => ({
  name,
  kind,
  title: `3 · ${name}`,
  line: 'What follows a large move.',
  needs: 'a home with history.',
  url,
});
const stopped: Lab = {
  state: 'stopped',
  kind: null,
  kinds: ['jupyter', 'marimo'],
  by: null,
  url: null,
  port: null,
  pid: null,
  since: null,
  folder: '/home/notebooks',
  error: null,
  notebooks: [notebook('study.ipynb', 'jupyter'), notebook('lake.py', 'marimo')],
};
const ADDRESS = 'http://127.0.0.1:9/lab/tree/study.ipynb?token=t';
const running: Lab = {
  ...stopped,
  state: 'running',
  kind: 'jupyter',
  by: 'platform',
  url: 'http://127.0.0.1:9/lab?token=t',
  port: 9,
  pid: 1,
  since: '1796000000000000000',
  notebooks: [notebook('study.ipynb', 'jupyter', ADDRESS), notebook('lake.py', 'marimo')],
};

let told: Lab;
let started: Lab;
let asked: { method: string; body: unknown }[];

beforeEach(() => {
  told = stopped;
  started = running;
  asked = [];
  vi.stubGlobal('fetch', async (_path: string, init: RequestInit = {}) => {
    const method = init.method ?? 'GET';
    if (method !== 'GET') asked.push({ method, body: init.body ? JSON.parse(String(init.body)) : null });
    if (method === 'POST') told = started;
    if (method === 'DELETE') told = stopped;
    return new Response(JSON.stringify(told));
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const show = () =>
  render(
    <QueryClientProvider client={new QueryClient()}>
      <ResearchPage />
    </QueryClientProvider>,
  );

describe('the page of notebooks', () => {
  it('opens a tab at the click, and sends it to the notebook once the lab answers', async () => {
    const replace = vi.fn();
    const tab = { opener: window, document: { title: '' }, location: { replace }, close: vi.fn() };
    const open = vi.fn(() => tab);
    vi.stubGlobal('open', open);
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Open study.ipynb' }));
    await waitFor(() => expect(replace).toHaveBeenCalledWith(ADDRESS));
    expect(open).toHaveBeenCalledWith('about:blank', '_blank');
    expect(tab.opener).toBeNull();
    expect(asked).toEqual([{ method: 'POST', body: { kind: 'jupyter' } }]);
    const link = await screen.findByRole('link', { name: 'Open study.ipynb' });
    expect(link.getAttribute('rel')).toContain('noopener');
  });

  it('closes the tab and says why where the lab does not start', async () => {
    const error = {
      code: 'lab_ended',
      category: 'internal',
      message: 'the lab ended with exit code 1',
      hint: 'its log is lab.log',
      retryable: false,
      docs: '',
      request_id: null,
    };
    started = { ...stopped, state: 'failed', error };
    const tab = { opener: null, document: { title: '' }, location: { replace: vi.fn() }, close: vi.fn() };
    vi.stubGlobal('open', () => tab);
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Open JupyterLab' }));
    await waitFor(() => expect(tab.close).toHaveBeenCalled());
    expect(useToast.getState().toast?.kind).toBe('bad');
    expect((await screen.findByRole('alert')).textContent).toContain('exit code 1');
  });

  it('asks once more before kernels are ended', async () => {
    told = running;
    show();
    fireEvent.click(await screen.findByRole('button', { name: 'Stop' }));
    expect(asked).toEqual([]);
    fireEvent.click(screen.getByRole('button', { name: 'End it with all kernels' }));
    await screen.findByText('not running');
    expect(asked).toEqual([{ method: 'DELETE', body: null }]);
  });

  it('says what to install', async () => {
    told = { ...stopped, state: 'missing', kinds: [] };
    show();
    await screen.findByText('JupyterLab is not installed');
    expect(screen.getByRole('button', { name: 'Open study.ipynb' }).hasAttribute('disabled')).toBe(true);
  });
});

describe('where a notebook opens', () => {
  it('is known while a lab of its kind runs', () => {
    expect(addressOf(running, { kind: 'jupyter', notebook: 'study.ipynb' })).toBe(ADDRESS);
    expect(addressOf(running, { kind: 'marimo', notebook: 'lake.py' })).toBeNull();
    expect(addressOf(stopped, { kind: 'jupyter' })).toBeNull();
  });
});
