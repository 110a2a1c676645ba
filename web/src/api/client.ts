// All access to the service over HTTP. Every failure is an ApiError with the service's own words.

import type {
  Alert,
  AlertAsk,
  AlertChange,
  Alerts,
  Backtest,
  BacktestAsk,
  BacktestComparison,
  BacktestRobustness,
  BacktestStart,
  Backtests,
  BacktestTable,
  Bars,
  CalculateAsk,
  CalculatedSeries,
  CollectionStatus,
  Config,
  DataMetadata,
  Dataset,
  DatasetDays,
  DatasetEdit,
  DatasetFields,
  Datasets,
  ErrorBody,
  FetchAsk,
  FetchEstimate,
  FetchJob,
  Firing,
  Firings,
  Gaps,
  ImportAsk,
  ImportPreview,
  ImportStart,
  Indicators,
  Instruments,
  Job,
  JobLogs,
  JobState,
  Jobs,
  Lab,
  LabKind,
  Logs,
  ProviderSymbols,
  Providers,
  QueryAnswer,
  QueryAsk,
  Recipes,
  Schemas,
  Session,
  Strategies,
  Strategy,
  StrategyChange,
  StrategyCheck,
  StrategyCheckAsk,
  StrategyCreate,
  StrategyDiagnosis,
  StrategyLanguage,
  StrategyTemplate,
  StrategyVersions,
  StrategyVersionText,
  Studies,
  Study,
  StudyAsk,
  StudyJob,
  StudyProgress,
  Ticks,
  Trials,
} from './types';

const BASE = '/api/v1';
/** A platform that takes a request and never answers is as good as gone: the screen must say so. */
const ANSWER_MS = 15_000;
/** A check of a strategy waits its turn and then runs it many times. */
const CHECK_MS = 60_000;

export class ApiError extends Error {
  readonly status: number;
  readonly body: ErrorBody;

  constructor(status: number, body: ErrorBody) {
    super(body.message);
    this.name = 'ApiError';
    this.status = status;
    this.body = body;
  }
}

const unreachable = (cause: string): ErrorBody => ({
  code: 'service.unreachable',
  category: 'upstream',
  message: `The platform does not answer (${cause}).`,
  hint: 'Start it with `tidemill up`; what is shown may be old.',
  retryable: true,
  docs: 'docs/errors.md#upstream',
  request_id: null,
});

type Query = Record<string, string | number | undefined>;

export function apiPath(path: string, query: Query = {}): string {
  const entries = Object.entries(query).filter(
    (entry): entry is [string, string | number] => entry[1] !== undefined,
  );
  const search = new URLSearchParams(entries.map(([name, value]) => [name, String(value)])).toString();
  return `${BASE}${path}${search ? `?${search}` : ''}`;
}

async function request<T>(
  path: string,
  options: { method?: string; query?: Query; body?: unknown; signal?: AbortSignal; answer_ms?: number } = {},
): Promise<T> {
  let response: Response;
  let text: string;
  const answer_ms = options.answer_ms ?? ANSWER_MS;
  const timeout = AbortSignal.timeout(answer_ms);
  try {
    response = await fetch(apiPath(path, options.query), {
      method: options.method ?? 'GET',
      credentials: 'same-origin',
      headers: options.body === undefined ? {} : { 'content-type': 'application/json' },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
    });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    if (timeout.aborted) throw new ApiError(0, unreachable(`no answer within ${answer_ms / 1000} s`));
    throw new ApiError(0, unreachable(error instanceof Error ? error.message : String(error)));
  }
  const body = readJson(text);
  if (response.ok) return body as T;
  throw new ApiError(response.status, isErrorBody(body) ? body : unreachable(`HTTP ${response.status}`));
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // No body, or a proxy's page: the status says the rest.
  }
}

const isErrorBody = (body: unknown): body is ErrorBody =>
  typeof body === 'object' && body !== null && 'message' in body && 'code' in body;

const instrumentPath = (instrument: string): string => `/data/${encodeURIComponent(instrument)}`;

const datasetPath = (id: string): string => `/datasets/${encodeURIComponent(id)}`;

const jobPath = (id: string): string => `/jobs/${encodeURIComponent(id)}`;

export const api = {
  config: () => request<Config>('/config'),
  session: () => request<Session>('/session'),
  openSession: (key: string) => request<unknown>('/session', { method: 'POST', body: { key } }),

  instruments: (
    query: { q?: string; venue?: string; limit?: number; cursor?: string },
    signal?: AbortSignal,
  ) => request<Instruments>('/instruments', { query, ...(signal ? { signal } : {}) }),

  bars: (
    instrument: string,
    query: { interval: string; limit: number; end?: string; cursor?: string },
    signal?: AbortSignal,
  ) => request<Bars>(`${instrumentPath(instrument)}/bars`, { query, ...(signal ? { signal } : {}) }),

  indicators: (signal?: AbortSignal) => request<Indicators>('/indicators/list', signal ? { signal } : {}),
  calculate: (body: CalculateAsk, signal?: AbortSignal) =>
    request<CalculatedSeries>('/indicators/calculate', {
      method: 'POST',
      body,
      ...(signal ? { signal } : {}),
    }),

  ticks: (instrument: string, limit: number, signal?: AbortSignal) =>
    request<Ticks>(`${instrumentPath(instrument)}/ticks`, {
      query: { limit },
      ...(signal ? { signal } : {}),
    }),

  metadata: (instrument: string, signal?: AbortSignal) =>
    request<DataMetadata>(`${instrumentPath(instrument)}/metadata`, signal ? { signal } : {}),

  providers: (signal?: AbortSignal) => request<Providers>('/providers', signal ? { signal } : {}),
  symbols: (provider: string, search: string, signal?: AbortSignal) =>
    request<ProviderSymbols>(`/providers/${encodeURIComponent(provider)}/symbols`, {
      query: { search, limit: 20 },
      ...(signal ? { signal } : {}),
    }),
  estimateFetch: (body: FetchAsk, signal?: AbortSignal) =>
    request<FetchEstimate>('/data/fetch/estimate', { method: 'POST', body, ...(signal ? { signal } : {}) }),
  fetchHistory: (body: FetchAsk) => request<FetchJob>('/data/fetch', { method: 'POST', body }),

  previewImport: (body: ImportAsk, signal?: AbortSignal) =>
    request<ImportPreview>('/data/imports/preview', { method: 'POST', body, ...(signal ? { signal } : {}) }),
  startImport: (body: ImportStart) => request<Job>('/data/imports', { method: 'POST', body }),
  recipes: () => request<Recipes>('/data/recipes'),

  gaps: (
    query: { venue?: string; instrument?: string; limit?: number; cursor?: string },
    signal?: AbortSignal,
  ) => request<Gaps>('/gaps', { query, ...(signal ? { signal } : {}) }),

  datasets: (query: Record<string, string | number | undefined>, signal?: AbortSignal) =>
    request<Datasets>('/datasets', { query, ...(signal ? { signal } : {}) }),
  dataset: (id: string, signal?: AbortSignal) =>
    request<Dataset>(datasetPath(id), { query: { days: 60 }, ...(signal ? { signal } : {}) }),
  coverage: (id: string, query: { start?: string; end?: string }, signal?: AbortSignal) =>
    request<DatasetDays>(`${datasetPath(id)}/coverage`, { query, ...(signal ? { signal } : {}) }),
  datasetFields: (id: string, signal?: AbortSignal) =>
    request<DatasetFields>(`${datasetPath(id)}/fields`, signal ? { signal } : {}),
  editDataset: (id: string, body: Partial<DatasetEdit>) =>
    request<Dataset>(datasetPath(id), { method: 'PATCH', body }),
  follow: (id: string, followed: boolean) =>
    request<unknown>(`${datasetPath(id)}/subscribe`, { method: followed ? 'POST' : 'DELETE' }),
  query: (body: QueryAsk, signal?: AbortSignal) =>
    request<QueryAnswer>('/data/query', { method: 'POST', body, ...(signal ? { signal } : {}) }),
  queryAsJob: (body: QueryAsk) =>
    request<Job>('/data/query', { method: 'POST', body: { ...body, as_job: true } }),

  collection: () => request<CollectionStatus>('/collection/status'),
  startCollector: (venue: string) =>
    request<unknown>('/collection/start', { method: 'POST', body: { venue } }),
  stopCollector: (venue: string) =>
    request<unknown>('/collection/stop', { method: 'DELETE', query: { venue } }),
  logs: (venue: string, limit: number) =>
    request<Logs>(`/collection/${encodeURIComponent(venue)}/logs`, { query: { limit } }),

  jobs: (query: { state?: JobState; kind?: string; limit?: number }, signal?: AbortSignal) =>
    request<Jobs>('/jobs', { query, ...(signal ? { signal } : {}) }),
  submitJob: (kind: string, detail: Job['detail']) =>
    request<Job>('/jobs', { method: 'POST', body: { kind, detail } }),
  cancelJob: (id: string) => request<Job>(`${jobPath(id)}/cancel`, { method: 'POST' }),
  jobLogs: (id: string, query: { after: number; limit: number }, signal?: AbortSignal) =>
    request<JobLogs>(`${jobPath(id)}/logs`, { query, ...(signal ? { signal } : {}) }),
  job: (id: string, signal?: AbortSignal) => request<Job>(jobPath(id), signal ? { signal } : {}),

  lab: (signal?: AbortSignal) => request<Lab>('/lab', signal ? { signal } : {}),
  startLab: (kind: LabKind) => request<Lab>('/lab', { method: 'POST', body: { kind } }),
  stopLab: () => request<Lab>('/lab', { method: 'DELETE' }),

  strategies: (signal?: AbortSignal) =>
    request<Strategies>('/strategies', { query: { limit: 500 }, ...(signal ? { signal } : {}) }),
  strategy: (name: string, signal?: AbortSignal) =>
    request<Strategy>(`/strategies/${encodeURIComponent(name)}`, signal ? { signal } : {}),
  createStrategy: (body: StrategyCreate) => request<Strategy>('/strategies/create', { method: 'POST', body }),
  changeStrategy: (name: string, body: StrategyChange) =>
    request<Strategy>(`/strategies/${encodeURIComponent(name)}`, { method: 'PUT', body }),
  deleteStrategy: (name: string) =>
    request<Strategy>(`/strategies/${encodeURIComponent(name)}`, { method: 'DELETE' }),
  strategyVersions: (name: string, signal?: AbortSignal) =>
    request<StrategyVersions>(`/strategies/${encodeURIComponent(name)}/versions`, {
      query: { limit: 200 },
      ...(signal ? { signal } : {}),
    }),
  strategyVersion: (name: string, version: number, signal?: AbortSignal) =>
    request<StrategyVersionText>(
      `/strategies/${encodeURIComponent(name)}/versions/${version}`,
      signal ? { signal } : {},
    ),
  strategyLanguage: (signal?: AbortSignal) =>
    request<StrategyLanguage>('/strategies/language', signal ? { signal } : {}),
  strategyTemplate: (name: string, kind: 'signal' | 'event') =>
    request<StrategyTemplate>('/strategies/template', { query: { name, kind } }),
  diagnoseStrategy: (code: string, signal?: AbortSignal) =>
    request<StrategyDiagnosis>('/strategies/diagnose', {
      method: 'POST',
      body: { code },
      ...(signal ? { signal } : {}),
    }),
  checkStrategy: (body: StrategyCheckAsk) =>
    request<StrategyCheck>('/strategies/check', { method: 'POST', body, answer_ms: CHECK_MS }),

  backtests: (
    query: { where?: string; sort?: string; order?: string; limit?: number; cursor?: string },
    signal?: AbortSignal,
  ) => request<Backtests>('/backtests', { query, ...(signal ? { signal } : {}) }),
  compareBacktests: (ids: string[], signal?: AbortSignal) =>
    request<BacktestComparison>('/backtests/compare', {
      query: { ids: ids.join(','), points: 1000 },
      ...(signal ? { signal } : {}),
    }),
  robustness: (id: string, signal?: AbortSignal) =>
    request<BacktestRobustness>(`/backtests/${encodeURIComponent(id)}/robustness`, signal ? { signal } : {}),
  backtest: (id: string, signal?: AbortSignal) =>
    request<Backtest>(`/backtests/${encodeURIComponent(id)}`, signal ? { signal } : {}),
  backtestTable: (
    id: string,
    table: RunTable,
    query: { limit?: number; points?: number },
    signal?: AbortSignal,
  ) =>
    request<BacktestTable>(`/backtests/${encodeURIComponent(id)}/${table}`, {
      query,
      ...(signal ? { signal } : {}),
    }),
  runBacktest: (body: BacktestAsk) => request<BacktestStart>('/backtests', { method: 'POST', body }),
  runAgain: (id: string) =>
    request<BacktestStart>(`/backtests/${encodeURIComponent(id)}/again`, { method: 'POST' }),
  deleteBacktest: (id: string) =>
    request<unknown>(`/backtests/${encodeURIComponent(id)}`, { method: 'DELETE' }),

  alerts: (signal?: AbortSignal) => request<Alerts>('/alerts', signal ? { signal } : {}),
  createAlert: (body: AlertAsk) => request<Alert>('/alerts', { method: 'POST', body }),
  changeAlert: (id: string, body: AlertChange) =>
    request<Alert>(`/alerts/${encodeURIComponent(id)}`, { method: 'PATCH', body }),
  deleteAlert: (id: string) => request<Alert>(`/alerts/${encodeURIComponent(id)}`, { method: 'DELETE' }),
  testAlert: (id: string) => request<Firing>(`/alerts/${encodeURIComponent(id)}/test`, { method: 'POST' }),
  firings: (query: { alert?: string; limit?: number; cursor?: string }, signal?: AbortSignal) =>
    request<Firings>('/alerts/firings', { query, ...(signal ? { signal } : {}) }),

  studies: (query: { limit?: number; cursor?: string }, signal?: AbortSignal) =>
    request<Studies>('/studies', { query, ...(signal ? { signal } : {}) }),
  study: (id: string, signal?: AbortSignal) =>
    request<StudyProgress>(`/studies/${encodeURIComponent(id)}`, signal ? { signal } : {}),
  trials: (id: string, query: { limit?: number; cursor?: string }, signal?: AbortSignal) =>
    request<Trials>(`/studies/${encodeURIComponent(id)}/trials`, { query, ...(signal ? { signal } : {}) }),
  startStudy: (body: StudyAsk) => request<StudyJob>('/studies', { method: 'POST', body }),
  steerStudy: (id: string, how: 'pause' | 'cancel' | 'resume') =>
    request<Study | StudyJob>(`/studies/${encodeURIComponent(id)}/${how}`, { method: 'POST' }),
};

export type RunTable = 'equity' | 'days' | 'trades' | 'fills' | 'orders' | 'prices';

/** A list of runs as a file. */
export const listPath = (query: Record<string, string>): string => apiPath('/backtests/export', query);

/** The whole answer of a query as a file of a form that is not JSON. */
export async function queryFile(body: QueryAsk, signal?: AbortSignal): Promise<Blob> {
  const response = await fetch(apiPath('/data/query'), {
    method: 'POST',
    credentials: 'same-origin',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  if (response.ok) return response.blob();
  const said = readJson(await response.text());
  throw new ApiError(response.status, isErrorBody(said) ? said : unreachable(`HTTP ${response.status}`));
}

/** Where a run's report is, as a page of its own. */
export const reportPath = (id: string): string => apiPath(`/backtests/${encodeURIComponent(id)}/report`);

/** Sends a file as it is, and says how far it is from 0 to 1. */
export function upload(
  file: File,
  told: (part: number) => void,
  signal: AbortSignal,
): Promise<Schemas['Upload']> {
  // Not fetch: a browser does not say how much of a request's body has left.
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open('POST', apiPath('/data/uploads', { name: file.name.slice(-300) }));
    sending.setRequestHeader('content-type', 'application/octet-stream');
    sending.upload.onprogress = ({ loaded, total }) => told(total > 0 ? loaded / total : 0);
    sending.onerror = () => reject(new ApiError(0, unreachable('the connection broke')));
    sending.onload = () => {
      const body = readJson(sending.responseText);
      if (sending.status === 201) resolve(body as Schemas['Upload']);
      else
        reject(
          new ApiError(sending.status, isErrorBody(body) ? body : unreachable(`HTTP ${sending.status}`)),
        );
    };
    signal.addEventListener('abort', () => sending.abort());
    sending.onabort = () => reject(new DOMException('The upload was stopped.', 'AbortError'));
    sending.send(file);
  });
}
