// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openSession } from '@/app/session';

interface Call {
  path: string;
  method: string;
  body: string | undefined;
  /** Address bar at the time of the call. */
  address: string;
}

let calls: Call[] = [];

function answer(statuses: Record<string, number>) {
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    const method = init.method ?? 'GET';
    calls.push({ path, method, body: init.body as string | undefined, address: location.href });
    const status = statuses[method] ?? 200;
    const error = {
      code: 'not_signed_in',
      category: 'auth',
      message: 'the key was used',
      hint: '',
      retryable: false,
    };
    return new Response(JSON.stringify(status < 400 ? {} : error), { status });
  });
}

beforeEach(() => {
  calls = [];
  history.replaceState(null, '', '/charts?instrument=BTC-USD.sim-kraken#key=one-use-key-0123456789');
});

afterEach(() => vi.unstubAllGlobals());

it('exchanges the key and takes it out of the address first', async () => {
  answer({});
  await expect(openSession()).resolves.toEqual({ signedIn: true });
  expect(calls.map(({ method, path, body }) => [method, path, body])).toEqual([
    ['POST', '/api/v1/session', '{"key":"one-use-key-0123456789"}'],
    ['GET', '/api/v1/session', undefined],
  ]);
  for (const { address, path } of calls) expect(address + path).not.toContain('key=');
  expect(location.pathname + location.search + location.hash).toBe('/charts?instrument=BTC-USD.sim-kraken');
});

it('a used key does no harm to a session that holds', async () => {
  answer({ POST: 401 });
  await expect(openSession()).resolves.toEqual({ signedIn: true });
});

it('without a session it says why', async () => {
  answer({ POST: 401, GET: 401 });
  await expect(openSession()).resolves.toEqual({ signedIn: false, reason: 'The key was used.' });
});

it('a platform that is down is not a refusal', async () => {
  answer({ GET: 502 });
  await expect(openSession()).rejects.toThrow();
});
