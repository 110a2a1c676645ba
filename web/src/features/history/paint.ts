// The drawn history: a line with the range that each pixel saw, its volume below, and the axes. No data of its own.

import { number } from '@/shared/format';
import { type Colors, FONT } from '@/theme/themes';
import { priceMarks, timeMarks } from './axis';
import type { Columns, View } from './columns';

export interface Scene {
  view: View;
  /** What is drawn, and the view it was made for: while a new one is on its way it is drawn stretched. */
  columns: Columns | null;
  of: View;
  width: number;
  height: number;
  zone: string;
  colors: Colors;
  /** Under the pointer, px from the left; null where it is elsewhere. */
  pointer: number | null;
}

export const AXIS_PX = 74;
const TIME_PX = 24;
const VOLUME = 0.14;
const MARGIN = 0.08;

/** Pixels between the axes. */
export const plotWidth = (width: number): number => Math.max(1, Math.floor(width - AXIS_PX));

export function paint(context: CanvasRenderingContext2D, scene: Scene): void {
  const { width, height, colors: c, columns } = scene;
  context.fillStyle = c['bg.panel'];
  context.fillRect(0, 0, width, height);
  context.font = `11px ${FONT}`;
  const plot = plotWidth(width);
  const floor = height - TIME_PX;
  paintTimes(context, scene, plot, floor);
  if (columns && !Number.isNaN(columns.lowest)) {
    const scale = priceScale(columns, floor);
    paintPrices(context, scene, scale, plot);
    context.save();
    context.beginPath();
    context.rect(0, 0, plot, floor);
    context.clip();
    paintVolume(context, scene, columns, plot, floor);
    paintLine(context, scene, columns, scale, plot);
    context.restore();
  }
  context.strokeStyle = c['line.subtle'];
  context.strokeRect(-0.5, -0.5, plot + 1, floor + 1);
  if (scene.pointer !== null && scene.pointer < plot) paintPointer(context, scene, floor);
}

interface PriceScale {
  y(price: number): number;
  low: number;
  high: number;
  pixels: number;
}

function priceScale({ lowest, highest }: Columns, floor: number): PriceScale {
  const pixels = floor * (1 - VOLUME);
  const flat = highest > lowest ? 0 : Math.abs(highest) * 0.01 || 1;
  const room = (highest - lowest) * MARGIN + flat;
  const [low, high] = [lowest - room, highest + room];
  return { low, high, pixels, y: (price) => ((high - price) / (high - low)) * pixels };
}

/** Where a column of what is drawn lies on the screen: itself, unless the view has moved since. */
function placing(scene: Scene, plot: number): (column: number) => number {
  const per_px = (scene.of.to - scene.of.from) / (scene.columns?.first.length ?? plot);
  const factor = plot / (scene.view.to - scene.view.from);
  return (column) => (scene.of.from + column * per_px - scene.view.from) * factor;
}

function paintLine(
  context: CanvasRenderingContext2D,
  scene: Scene,
  columns: Columns,
  { y }: PriceScale,
  plot: number,
): void {
  const x = placing(scene, plot);
  context.lineWidth = 1;
  context.strokeStyle = scene.colors['accent.text'];
  context.beginPath();
  let drawn = false;
  for (let i = 0; i < columns.first.length; i++) {
    const first = columns.first[i] as number;
    if (Number.isNaN(first)) continue;
    const at = x(i) + 0.5;
    const [high, low] = [y(columns.high[i] as number), y(columns.low[i] as number)];
    if (drawn) context.lineTo(at, y(first));
    else context.moveTo(at, y(first));
    drawn = true;
    // A pixel whose range is less than a pixel high would leave no mark of its own.
    context.lineTo(at, high);
    context.lineTo(at, Math.max(low, high + 0.75));
    context.lineTo(at, y(columns.last[i] as number));
  }
  context.stroke();
}

function paintVolume(
  context: CanvasRenderingContext2D,
  scene: Scene,
  columns: Columns,
  plot: number,
  floor: number,
): void {
  const x = placing(scene, plot);
  const per_px = (scene.of.to - scene.of.from) / columns.first.length;
  const wide = (x(1) - x(0)) * Math.max(1, Math.floor(columns.grain / per_px) - 1);
  const pixels = floor * VOLUME * 0.86;
  context.fillStyle = `${scene.colors['text.tertiary']}66`;
  for (let i = 0; i < columns.volume.length; i++) {
    const volume = columns.volume[i] as number;
    if (volume > 0) {
      const high = (volume / columns.most) * pixels;
      context.fillRect(x(i), floor - high, Math.max(1, wide), high);
    }
  }
}

function paintTimes(context: CanvasRenderingContext2D, scene: Scene, plot: number, floor: number): void {
  const { view, colors: c, zone } = scene;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const mark of timeMarks(view, plot, zone)) {
    const x = Math.round(((mark.value - view.from) / (view.to - view.from)) * plot) + 0.5;
    line(context, c['chart.grid'], x, 0, x, floor);
    context.fillStyle = c['text.tertiary'];
    if (x > 24 && x < plot - 24) context.fillText(mark.text, x, floor + TIME_PX / 2);
  }
}

function paintPrices(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { low, high, pixels, y }: PriceScale,
  plot: number,
): void {
  const { colors: c, columns } = scene;
  const marks = priceMarks(low, high, pixels);
  const step = marks.length > 1 ? (marks[1] as number) - (marks[0] as number) : 1;
  const places = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), columns?.priceScale ?? 8);
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const price of marks) {
    const at = Math.round(y(price)) + 0.5;
    line(context, c['chart.grid'], 0, at, plot, at);
    context.fillStyle = c['text.tertiary'];
    if (at > 8) context.fillText(number(price, places), plot + AXIS_PX - 8, at);
  }
}

function paintPointer(context: CanvasRenderingContext2D, scene: Scene, floor: number): void {
  const x = Math.round(scene.pointer ?? 0) + 0.5;
  context.setLineDash([4, 4]);
  line(context, scene.colors['chart.crosshair'], x, 0, x, floor);
  context.setLineDash([]);
}

function line(
  context: CanvasRenderingContext2D,
  color: string,
  x1: number,
  y1: number,
  x2: number,
  y2: number,
): void {
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
