// What the bridge sends and takes on /stream, one JSON object per message. Prices and sizes are decimal text, times are
// nanoseconds since the epoch (UTC) as text, epoch and sequence are numbers below 2^53.

export type Channel = 'trades' | 'quotes' | 'book' | 'bars:1s' | 'status';
export type Aggressor = 'buy' | 'sell' | 'none';
export type PriceSize = [price: string, size: string];
export type FeedState =
  | 'connecting'
  | 'live'
  | 'stale'
  | 'reconnecting'
  | 'closed'
  | 'failed'
  | 'idle'
  | (string & {});

export interface TradeRow {
  sequence: number;
  ts_event: string;
  ts_recv: string;
  price: string;
  size: string;
  aggressor: Aggressor;
  id: string | null;
  /** The venue's conditions say that bars leave this trade out. */
  irregular?: boolean;
}

/** Carried by every message about market data. `prev` is the sequence of the message before it of this venue in this subscription. */
interface Chained {
  id: number;
  prev: number | null;
  venue: string;
  /** Null or empty where the message is about the whole venue. */
  instrument: string | null;
  epoch: number;
  sequence: number;
}

export interface TradesMessage extends Chained {
  type: 'trades';
  rows: TradeRow[];
}

export interface QuotesMessage extends Chained {
  type: 'quotes';
  bid: PriceSize | null;
  ask: PriceSize | null;
  ts_event: string;
  ts_recv: string;
  /** How many messages were merged into this one. */
  conflated: number;
}

export interface BookMessage extends Chained {
  type: 'book';
  kind: 'snapshot' | 'delta';
  /** False: a checksum or sequence check failed. Only a snapshot says it. */
  valid?: boolean;
  bids: PriceSize[];
  asks: PriceSize[];
  ts_event: string;
  ts_recv: string;
  conflated: number;
}

export interface BarsMessage extends Chained {
  type: 'bars';
  interval: string;
  start: string;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
  trades: number;
  closed: boolean;
}

export interface StatusMessage extends Chained {
  type: 'status';
  channel: string;
  code: string;
  ts_recv: string;
}

export interface GapMessage extends Chained {
  type: 'gap';
  channel: string;
  edge: 'open' | 'end';
  cause: string;
  ts_event: string;
  /** Records missing, -1 when unknown. */
  missing: number;
  /** Position of the opening record: the gap's identity. */
  gap: [epoch: number, sequence: number];
}

export type DataMessage =
  | TradesMessage
  | QuotesMessage
  | BookMessage
  | BarsMessage
  | StatusMessage
  | GapMessage;

export interface HelloMessage {
  type: 'hello';
  version: number;
  venues: Record<string, { epoch: number; sequence: number; instruments: string[] }>;
  heartbeat_s: number;
}

export interface SubscribedMessage {
  type: 'subscribed';
  id: number;
  instruments: string[];
  channels: string[];
  from: Record<string, [number, number]>;
}

export interface HeartbeatMessage {
  type: 'heartbeat';
  ts: string;
  venues: Record<string, { epoch: number; sequence: number; state: FeedState; messages_per_s: number }>;
}

export interface ErrorMessage {
  type: 'error';
  code: string;
  category: string;
  message: string;
  hint?: string | null;
  retryable?: boolean;
  /** The subscription it answers, where it answers one. */
  id?: number;
}

export interface CutMessage {
  type: 'cut';
  reason: string;
  positions: Record<string, [number, number]>;
}

export type ServerMessage =
  | DataMessage
  | HelloMessage
  | SubscribedMessage
  | HeartbeatMessage
  | ErrorMessage
  | CutMessage
  | { type: 'pong'; id: number }
  /** History of a resume is still being read; a sign of life. */
  | { type: 'catching'; id: number };
