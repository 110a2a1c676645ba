// Chart primitive: labels on the price axis, of the last price and of the crosshair. A label takes out whole every tick that it
// would cover in part.

import type {
  IPrimitivePaneView,
  ISeriesApi,
  ISeriesPrimitive,
  SeriesAttachedParameter,
  SeriesType,
  Time,
} from 'lightweight-charts';
import { FONT } from '@/theme/themes';
import { paint, type Target } from './paint';

export interface LastPriceLook {
  price: number;
  text: string;
  /** Second line: the bar's time left, or the number's age when it is stale. */
  note: string;
  fill: string;
  ink: string;
  /** A stale price is outlined, not filled. */
  outlined: boolean;
}

export interface AxisLook {
  /** Of the axis. */
  surface: string;
  /** Of the crosshair's label. */
  fill: string;
  line: string;
  ink: string;
}

interface Box {
  top: number;
  height: number;
}

const HEIGHT_PX = 32;
const SINGLE_HEIGHT_PX = 18;
/** Half of a tick's text and a little air. */
const TICK_PX = 8;

export class PriceAxis implements ISeriesPrimitive<Time> {
  private last: LastPriceLook | null = null;
  private look: AxisLook = { surface: '', fill: '', line: '', ink: '' };
  private series: ISeriesApi<SeriesType> | null = null;
  private update: (() => void) | null = null;
  /** Prices the axis names. */
  private ticks: number[] = [];
  /** Where the crosshair stands in this pane; null while it does not. */
  private pointed_y: number | null = null;
  private readonly lineViews: readonly IPrimitivePaneView[] = [
    { zOrder: () => 'normal', renderer: () => ({ draw: (target) => this.drawLine(target) }) },
  ];
  private readonly labelViews: readonly IPrimitivePaneView[] = [
    { zOrder: () => 'normal', renderer: () => ({ draw: (target) => this.drawLast(target) }) },
    { zOrder: () => 'top', renderer: () => ({ draw: (target) => this.drawCrosshair(target) }) },
  ];

  attached({ series, requestUpdate }: SeriesAttachedParameter<Time>): void {
    this.series = series;
    this.update = requestUpdate;
  }

  detached(): void {
    this.series = null;
    this.update = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.lineViews;
  }

  priceAxisPaneViews(): readonly IPrimitivePaneView[] {
    return this.labelViews;
  }

  setLook(look: AxisLook): void {
    this.look = look;
    this.update?.();
  }

  setLast(last: LastPriceLook | null): void {
    this.last = last;
    this.update?.();
  }

  setTicks(prices: number[]): void {
    this.ticks = prices;
  }

  /** The library redraws what is on top with every move of the crosshair. */
  point(y: number | null): void {
    this.pointed_y = y;
  }

  private drawLine(target: Target): void {
    const y = this.last && this.series?.priceToCoordinate(this.last.price);
    if (y == null) return;
    paint(target, ({ context, mediaSize }) => {
      context.strokeStyle = this.last?.fill ?? '';
      context.lineWidth = 1;
      context.setLineDash([1, 3]);
      context.beginPath();
      context.moveTo(0, Math.round(y) + 0.5);
      context.lineTo(mediaSize.width, Math.round(y) + 0.5);
      context.stroke();
    });
  }

  private drawLast(target: Target): void {
    const { last } = this;
    paint(target, ({ context, mediaSize: { width, height } }) => {
      const box = this.lastBox(height);
      if (!last || !box) return;
      this.clearTicks(context, width, box);
      if (last.outlined) label(context, box, width, last.ink, last.fill);
      else label(context, box, width, last.fill);
      context.fillStyle = last.outlined ? last.fill : last.ink;
      context.textBaseline = 'middle';
      context.font = `600 11.5px ${FONT}`;
      context.fillText(last.text, 8, box.top + 10);
      context.font = `400 10.5px ${FONT}`;
      if (last.note) context.fillText(last.note, 8, box.top + 23);
    });
  }

  private drawCrosshair(target: Target): void {
    const at = this.pointed_y;
    const price = at === null ? null : this.series?.coordinateToPrice(at);
    if (at === null || price == null) return;
    paint(target, ({ context, mediaSize: { width, height } }) => {
      const half = SINGLE_HEIGHT_PX / 2;
      const last = this.lastBox(height);
      const top = Math.round(Math.min(Math.max(beside(last, at - half), 0), height - SINGLE_HEIGHT_PX));
      const box = { top, height: SINGLE_HEIGHT_PX };
      this.clearTicks(context, width, box, last);
      label(context, box, width, this.look.fill, this.look.line);
      context.fillStyle = this.look.ink;
      context.textBaseline = 'middle';
      context.font = `400 11px ${FONT}`;
      context.fillText(this.series?.priceFormatter().format(price) ?? '', 8, top + half + 0.5);
    });
  }

  private lastBox(axisHeight: number): Box | null {
    const y = this.last && this.series?.priceToCoordinate(this.last.price);
    if (y == null) return null;
    const height = this.last?.note ? HEIGHT_PX : SINGLE_HEIGHT_PX;
    return { top: Math.round(Math.min(Math.max(y - 9, 0), axisHeight - height)), height };
  }

  /** Ticks that touch `box`, but for those that `taken` has taken out already. */
  private clearTicks(
    context: CanvasRenderingContext2D,
    width: number,
    box: Box,
    taken: Box | null = null,
  ): void {
    context.fillStyle = this.look.surface;
    for (const price of this.ticks) {
      const y = this.series?.priceToCoordinate(price);
      if (y == null || !touches(box, y) || (taken && touches(taken, y))) continue;
      context.fillRect(1, y - TICK_PX, width - 1, 2 * TICK_PX);
    }
  }
}

/** The last price keeps its place: a label that would cover it goes above or below, whichever is nearer. */
function beside(last: Box | null, top: number): number {
  if (!last || top >= last.top + last.height || top + SINGLE_HEIGHT_PX <= last.top) return top;
  const above = last.top - SINGLE_HEIGHT_PX;
  const below = last.top + last.height;
  return above >= 0 && top - above < below - top ? above : below;
}

const touches = ({ top, height }: Box, y: number): boolean => y > top - TICK_PX && y < top + height + TICK_PX;

function label(
  context: CanvasRenderingContext2D,
  { top, height }: Box,
  width: number,
  fill: string,
  line?: string,
): void {
  context.fillStyle = fill;
  context.beginPath();
  context.roundRect(1, top, width - 2, height, 2);
  context.fill();
  if (!line) return;
  context.strokeStyle = line;
  context.lineWidth = 1;
  context.beginPath();
  context.roundRect(1.5, top + 0.5, width - 3, height - 1, 2);
  context.stroke();
}
