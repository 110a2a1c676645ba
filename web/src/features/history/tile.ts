// Tiles of prices: how they are named, asked for and read. The layout is that of `tidemill/stores/tile.py`.

/** Times are ms since the epoch, UTC, with fractions: exact to less than a microsecond. */
export interface Tile {
  level: Level;
  index: number;
  /** Start of each bucket, or the time of each trade. */
  at: Float64Array;
  /** Prices; as the platform keeps them, divided by their scale once, here. */
  first: Float64Array;
  high: Float64Array;
  low: Float64Array;
  last: Float64Array;
  volume: Float64Array;
  trades: Uint32Array;
  priceScale: number;
  /** Its last bucket is still filling. */
  open: boolean;
  complete: boolean;
  /** Where bars longer than a bucket stand in for it, how long they are, ms; else 0. */
  grain: number;
}

export interface Level {
  /** Width of a bucket, ms; 0 for single trades. */
  width: number;
  /** What the platform calls it: the width in ns, as text. */
  name: string;
  /** What people call it. */
  text: string;
}

const BUCKETS = 1_000;
const RAW_MS = 2_000;
const HEAD = 32;
const MAGIC = 0x4c544d54;
const OPEN = 1;
const INCOMPLETE = 2;
/** Tiles that one request may ask for. */
export const REQUEST_MOST = 16;

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const level = (width: number, text: string): Level => ({
  width,
  name: String(BigInt(width) * 1_000_000n),
  text,
});

/** Narrow to wide. */
export const LEVELS: readonly Level[] = [
  level(0, 'single trades'),
  level(10, '10 ms'),
  level(100, '100 ms'),
  level(SECOND, '1 second'),
  level(5 * SECOND, '5 seconds'),
  level(15 * SECOND, '15 seconds'),
  level(MINUTE, '1 minute'),
  level(5 * MINUTE, '5 minutes'),
  level(15 * MINUTE, '15 minutes'),
  level(HOUR, '1 hour'),
  level(4 * HOUR, '4 hours'),
  level(DAY, '1 day'),
  level(5 * DAY, '5 days'),
  level(20 * DAY, '20 days'),
];

/** What people call a width of so many ms. */
export const widthText = (width: number): string =>
  LEVELS.find((one) => one.width === width)?.text ?? `${width / SECOND} seconds`;

/** How much time a tile of a level spans, ms. */
export const tileSpan = ({ width }: Level): number => (width === 0 ? RAW_MS : width * BUCKETS);

/** The widest level that still has a bucket for every pixel. */
export function levelFor(span_ms: number, pixels: number): Level {
  const per_px = span_ms / Math.max(1, pixels);
  return LEVELS.findLast(({ width }) => width <= per_px) ?? (LEVELS[0] as Level);
}

/** Numbers of the tiles that a span of time touches, ascending. */
export function indexesOf(one: Level, from_ms: number, to_ms: number): number[] {
  const span = tileSpan(one);
  const first = Math.max(0, Math.floor(from_ms / span));
  const last = Math.max(first, Math.ceil(to_ms / span) - 1);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Ascending numbers as runs without a hole, none longer than one request may ask for. */
export function runsOf(indexes: readonly number[]): { index: number; count: number }[] {
  const runs: { index: number; count: number }[] = [];
  for (const index of indexes) {
    const run = runs.at(-1);
    if (run && run.index + run.count === index && run.count < REQUEST_MOST) run.count += 1;
    else runs.push({ index, count: 1 });
  }
  return runs;
}

/** The tiles of an answer, which begins with number `index`. Throws on bytes that are none. */
export function readTiles(bytes: ArrayBuffer, one: Level, index: number): Tile[] {
  const view = new DataView(bytes);
  const tiles: Tile[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    if (at + HEAD > bytes.byteLength || view.getUint32(at, true) !== MAGIC || view.getUint8(at + 4) !== 1)
      throw new Error('the answer holds no tiles of version 1');
    const priceScale = view.getUint8(at + 5);
    const flags = view.getUint8(at + 6);
    const start_ms = Number(view.getBigInt64(at + 8, true) / 1_000_000n);
    const count = view.getUint32(at + 24, true);
    const grain = view.getUint32(at + 28, true);
    let place = at + HEAD;
    const prices = () => {
      const read = new BigInt64Array(bytes.slice(place, place + 8 * count));
      place += 8 * count;
      const divisor = 10 ** priceScale;
      return Float64Array.from(read, (mantissa) => Number(mantissa) / divisor);
    };
    const [first, high, low, last] = [prices(), prices(), prices(), prices()];
    const volume = new Float64Array(bytes.slice(place, place + 8 * count));
    place += 8 * count;
    const trades = new Uint32Array(bytes.slice(place, place + 4 * count));
    place += 4 * count;
    const places = new Uint32Array(bytes.slice(place, place + 4 * count));
    place += 4 * count;
    const unit = one.width === 0 ? 1e-6 : one.width; // a single trade says its nanoseconds
    tiles.push({
      level: one,
      index: index + tiles.length,
      at: Float64Array.from(places, (bucket) => start_ms + bucket * unit),
      first,
      high,
      low,
      last,
      volume,
      trades,
      priceScale,
      open: (flags & OPEN) !== 0,
      complete: (flags & INCOMPLETE) === 0,
      grain,
    });
    at = place;
  }
  return tiles;
}
