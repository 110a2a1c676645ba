import type { Job } from '@/api/types';

/** A job that runs, with what a test says of it. */
export const job = (change: Partial<Job>): Job => ({
  id: 'a',
  kind: 'export',
  state: 'running',
  progress: 0.5,
  owner: 'owner',
  created: '1000000000',
  started: '2000000000',
  ended: null,
  detail: {},
  error: null,
  priority: 0,
  attempts: 1,
  attempts_max: 3,
  note: null,
  done: null,
  total: null,
  unit: null,
  rate: null,
  eta_s: null,
  cancel_asked: false,
  result: null,
  ...change,
});
