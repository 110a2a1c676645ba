// Tiles to pixels: for every column of the screen the first, highest, lowest and last price under it. A line drawn from these
// looks the same as one drawn through every single trade.

import type { Tile } from './tile';

export interface View {
  /** ms since the epoch. */
  from: number;
  to: number;
}

/** One number per pixel, left to right; NaN where no trade lies under it. */
export interface Columns {
  first: Float64Array;
  high: Float64Array;
  low: Float64Array;
  last: Float64Array;
  volume: Float64Array;
  /** Lowest and highest price of all; NaN where there is none. */
  lowest: number;
  highest: number;
  most: number;
  trades: number;
  priceScale: number;
  complete: boolean;
  /** The longest bar that stands in for something finer, ms; 0 where none does. */
  grain: number;
}

export function columnsOf(tiles: readonly Tile[], view: View, pixels: number): Columns {
  const blank = () => new Float64Array(pixels).fill(Number.NaN);
  const columns: Columns = {
    first: blank(),
    high: blank(),
    low: blank(),
    last: blank(),
    volume: new Float64Array(pixels),
    lowest: Number.NaN,
    highest: Number.NaN,
    most: 0,
    trades: 0,
    priceScale: 0,
    complete: true,
    grain: 0,
  };
  const span = view.to - view.from;
  for (const tile of tiles) {
    columns.priceScale = Math.max(columns.priceScale, tile.priceScale);
    columns.complete &&= tile.complete;
    columns.grain = Math.max(columns.grain, tile.grain);
    for (let i = 0; i < tile.at.length; i++) {
      // Multiplied first: what lies at the end of the view must not be rounded into its last pixel.
      const pixel = Math.floor((((tile.at[i] as number) - view.from) * pixels) / span);
      if (pixel < 0 || pixel >= pixels) continue;
      add(columns, pixel, tile, i);
    }
  }
  return columns;
}

function add(columns: Columns, pixel: number, tile: Tile, i: number): void {
  const high = tile.high[i] as number;
  const low = tile.low[i] as number;
  if (Number.isNaN(columns.first[pixel])) {
    columns.first[pixel] = tile.first[i] as number;
    columns.high[pixel] = high;
    columns.low[pixel] = low;
  } else {
    if (high > (columns.high[pixel] as number)) columns.high[pixel] = high;
    if (low < (columns.low[pixel] as number)) columns.low[pixel] = low;
  }
  columns.last[pixel] = tile.last[i] as number;
  columns.volume[pixel] = (columns.volume[pixel] as number) + (tile.volume[i] as number);
  columns.trades += tile.trades[i] as number;
  if (!(columns.highest >= high)) columns.highest = high;
  if (!(columns.lowest <= low)) columns.lowest = low;
  columns.most = Math.max(columns.most, columns.volume[pixel] as number);
}

/** The column that says what is at this one: itself, or where longer bars stand in for something finer, the one they began in. */
export function barAt({ first, grain }: Columns, column: number, per_px: number): number {
  const reach = Math.floor(grain / per_px);
  for (let at = column; at >= Math.max(0, column - reach); at -= 1)
    if (!Number.isNaN(first[at] ?? Number.NaN)) return at;
  return column;
}

/** Zooms about a place (0 left, 1 right) and stays within what there is, half a screen beyond it at most. */
export function zoomed(view: View, factor: number, place: number, whole: View): View {
  const span = Math.min(Math.max((view.to - view.from) * factor, 1), 2 * (whole.to - whole.from));
  const pivot = view.from + (view.to - view.from) * place;
  return kept({ from: pivot - span * place, to: pivot + span * (1 - place) }, whole);
}

/** Moves by a part of what is shown: 1 is a whole screen. */
export function moved(view: View, screens: number, whole: View): View {
  const by = (view.to - view.from) * screens;
  return kept({ from: view.from + by, to: view.to + by }, whole);
}

function kept({ from, to }: View, whole: View): View {
  const span = to - from;
  const low = whole.from - span / 2;
  const high = whole.to + span / 2;
  if (from < low) return { from: low, to: low + span };
  if (to > high) return { from: high - span, to: high };
  return { from, to };
}
