// Names for the shapes of the OpenAPI document (schema.d.ts is made from ../docs/openapi.json by `npm run gen`), and for what
// the document leaves open: a part's own words in its status.

import type { components } from './schema';

export type Schemas = components['schemas'];

export type Config = Schemas['Configuration'];
export type Mode = NonNullable<Config['mode']>;
/** The one error shape of REST, stream and command line. */
export type ErrorBody = Schemas['Error'];
export type Instrument = Schemas['Instrument'];
export type Instruments = Schemas['Instruments'];
export type Bars = Schemas['Bars'];
export type OpenBar = Schemas['CurrentBar'];
export type BarGap = Schemas['SeriesGap'];
export type Indicator = Schemas['Indicator'];
export type IndicatorParam = Schemas['IndicatorParam'];
export type IndicatorOutput = Schemas['IndicatorOutput'];
export type Indicators = Schemas['Indicators'];
export type CalculateAsk = Partial<Schemas['Calculate']> & Pick<Schemas['Calculate'], 'instrument'>;
export type CalculatedSeries = Schemas['CalculatedSeries'];
export type Tick = Schemas['Trade'];
export type Ticks = Schemas['Trades'];
export type Provider = Schemas['Provider'];
export type Providers = Schemas['Providers'];
export type ProviderSymbols = Schemas['ProviderSymbols'];
export type FetchAsk = Partial<Schemas['Fetch']> & Pick<Schemas['Fetch'], 'provider' | 'symbols' | 'start'>;
export type FetchEstimate = Schemas['FetchEstimate'];
export type FetchJob = Schemas['FetchJob'];
export type ImportAsk = Partial<Schemas['ImportAsk']> & Pick<Schemas['ImportAsk'], 'upload'>;
export type ImportStart = Partial<Schemas['ImportStart']> & Pick<Schemas['ImportStart'], 'upload'>;
export type ImportPreview = Schemas['Preview'];
export type Recipes = Schemas['Recipes'];
export type Gap = Schemas['Gap'];
export type Gaps = Schemas['Gaps'];
export type DataMetadata = Schemas['DataMetadata'];
export type GapState = Gap['state'];
/** A stored collection of one instrument and kind, and what people say of it. */
export type Dataset = Schemas['Dataset'];
export type Datasets = Schemas['Datasets'];
export type DatasetDays = Schemas['Days'];
export type DatasetField = Schemas['DatasetField'];
export type DatasetFields = Schemas['DatasetFields'];
export type DatasetEdit = Schemas['DatasetEdit'];
export type QueryAsk = Partial<Schemas['Query']> & Pick<Schemas['Query'], 'sql'>;
export type QueryAnswer = Schemas['QueryAnswer'];
/** Its own words may follow: `{ message: 'state', state: 'live' }`. */
export type LogLine = Schemas['LogLine'] & Record<string, unknown>;
export interface Logs {
  items: LogLine[];
}
export type Session = Schemas['Session'];
export type Rate = Schemas['Rate'];

/** Times of a part's own status are numbers or text, ns since the epoch; 0 and null mean never. */
export type PartTime = string | number | null;

/** What every part says of itself. */
interface PartSays {
  since_ns?: PartTime;
  version?: string;
  metrics?: Record<string, unknown>;
}

/** What a collector says of itself; a collector that does not run says nothing. */
interface CollectorSays extends PartSays {
  url?: string | null;
  epoch?: number;
  sequence?: number;
  durable?: number;
  messages?: number;
  records?: number;
  messages_per_s?: number;
  lag_p50_ns?: number | null;
  lag_p99_ns?: number | null;
  reconnects?: number;
  attempt?: number;
  next_try_ns?: PartTime;
  gaps_open?: number;
  gaps?: number;
  last_message_ns?: PartTime;
  quarantined?: number;
  error?: ErrorBody | null;
}

/** What the recorder says of itself besides. */
export interface RecorderSays {
  venues?: Record<string, { lag_records?: number; lag_ns?: number; rows_per_s?: number; lost?: number }>;
  tables?: Record<string, { rows: number; bytes: number; files: number }>;
  last_commit_ns?: PartTime;
  /** Where rows are kept: a folder, or a database's address without its password. */
  store?: string;
}

type Known<T> = { [K in keyof T as string extends K ? never : K]: T[K] };

export type PartStatus = Known<Schemas['PartStatus']> & PartSays & RecorderSays;
export type CollectorStatus = Known<Schemas['CollectorStatus']> & CollectorSays;

export interface CollectionStatus {
  collectors: CollectorStatus[];
  parts: PartStatus[];
  pipeline: Record<string, unknown>;
}

/** A piece of work longer than a request. Times are ns since the epoch as text. */
export type Job = Schemas['Job'];
export type JobState = Job['state'];
export type Jobs = Schemas['Jobs'];
export type JobLogLine = Schemas['JobLogLine'];
export type JobLogs = Schemas['JobLogs'];

/** A strategy that the platform has. */
export type Strategy = Schemas['Strategy'];
export type StrategySummary = Schemas['StrategySummary'];
export type StrategyParam = Schemas['StrategyParam'];
export type Strategies = Schemas['Strategies'];
export type StrategyCreate = Partial<Schemas['StrategyCreate']> &
  Pick<Schemas['StrategyCreate'], 'name' | 'code'>;
export type StrategyChange = Partial<Schemas['StrategyChange']>;
export type StrategyVersions = Schemas['StrategyVersions'];
export type StrategyVersionText = Schemas['StrategyVersionText'];
export type StrategyTemplate = Schemas['StrategyTemplate'];
export type StrategyLanguage = Schemas['StrategyLanguage'];
export type StrategyDiagnosis = Schemas['StrategyDiagnosis'];
export type StrategyCheck = Schemas['StrategyCheck'];
export type StrategyCheckAsk = Partial<Schemas['StrategyCheckAsk']> &
  Pick<Schemas['StrategyCheckAsk'], 'code'>;

/** A backtest that was kept. `summary` has `numbers` by name, `notes` and `cautions`. */
export type Backtest = Schemas['Backtest'];
export type BacktestLine = Schemas['BacktestLine'];
export type Backtests = Schemas['Backtests'];
export type BacktestAsk = Partial<Omit<Schemas['BacktestAsk'], 'costs'>> &
  Pick<Schemas['BacktestAsk'], 'strategy' | 'instruments'> & { costs?: Partial<Schemas['BacktestCosts']> };
export type BacktestStart = Schemas['BacktestStart'];
export type BacktestComparison = Schemas['BacktestComparison'];
export type BacktestRobustness = Schemas['BacktestRobustness'];
export type BacktestTable = Schemas['BacktestTable'];

/** Notebooks, and the server beside the platform that runs them. Addresses in it let their reader in. */
export type Lab = Schemas['LabTold'];
export type LabKind = Lab['kinds'][number];
export type LabNotebook = Schemas['LabNotebook'];

export type Study = Schemas['Study'];
export type Studies = Schemas['Studies'];
export type StudyProgress = Schemas['Progress'];
/** What is left out has the platform's default. */
export type StudyAsk = Partial<Schemas['StudyAsk']> & Pick<Schemas['StudyAsk'], 'strategy' | 'instruments'>;
export type StudyJob = Schemas['StudyJob'];
export type Trials = Schemas['Trials'];

/** What is watched. */
export type Alert = Schemas['Alert'];
export type Alerts = Schemas['AlertList'];
/** What is left out has the platform's default. */
export type AlertAsk = Partial<Schemas['AlertAsk']> & Pick<Schemas['AlertAsk'], 'terms'>;
export type AlertChange = Partial<Schemas['AlertChange']>;
export type AlertTerms = Schemas['AlertAsk']['terms'];
/** What has fired, and to whom it was told. */
export type Firing = Schemas['Firing'];
export type Firings = Schemas['Firings'];
