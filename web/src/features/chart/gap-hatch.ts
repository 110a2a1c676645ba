// Chart primitive: a 45 degree hatch over price and volume where trades are missing, with its times.

import type {
  IChartApi,
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from 'lightweight-charts';
import { paint, type Target } from './paint';

export interface HatchRange {
  /** Fractional positions on the time axis, in bars. */
  from: number;
  to: number;
  color: string;
  /** Surface behind the label. */
  tint: string;
  label: string;
}

const STEP_PX = 6;
const LABEL_HEIGHT_PX = 17;
/** Rows of labels above each other at most. */
const LABEL_ROWS = 4;
const FONT = "10.5px 'IBM Plex Sans', system-ui, sans-serif";

export class GapHatch implements ISeriesPrimitive<Time> {
  private ranges: HatchRange[] = [];
  private chart: IChartApi | null = null;
  private update: (() => void) | null = null;
  private readonly views: readonly IPrimitivePaneView[];

  /** The label is drawn in one pane only. */
  constructor(labelled: boolean) {
    this.views = [
      {
        zOrder: () => 'bottom',
        renderer: () => ({ draw: (target) => this.draw(target, (x) => this.drawHatch(x)) }),
      },
      {
        zOrder: () => 'top',
        renderer: () => ({ draw: (target) => labelled && this.drawLabels(target) }),
      },
    ];
  }

  attached({ chart, requestUpdate }: SeriesAttachedParameter<Time>): void {
    this.chart = chart as IChartApi;
    this.update = requestUpdate;
  }

  detached(): void {
    this.chart = null;
    this.update = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  set(ranges: HatchRange[]): void {
    this.ranges = ranges;
    this.update?.();
  }

  /** The newest gap keeps its place at the bottom; an older label that would touch one moves up, or out. */
  private drawLabels(target: Target): void {
    const rows: [left: number, right: number][][] = Array.from({ length: LABEL_ROWS }, () => []);
    this.draw(target, (area) => this.drawLabel(area, rows), [...this.ranges].reverse());
  }

  private draw(target: Target, body: (x: DrawingArea) => void, ranges = this.ranges): void {
    paint(target, ({ context, mediaSize }) => {
      for (const range of ranges) {
        const [left, right] = [this.coordinate(range.from), this.coordinate(range.to)];
        if (left === null || right === null || right < 0 || left > mediaSize.width) continue;
        body({
          context,
          range,
          left,
          right: Math.max(right, left + 2),
          height: mediaSize.height,
          width: mediaSize.width,
        });
      }
    });
  }

  private coordinate(position: number): number | null {
    const scale = this.chart?.timeScale();
    const whole = Math.floor(position);
    const x = scale?.logicalToCoordinate(whole as Logical) ?? null;
    return x === null || !scale ? null : x + (position - whole) * scale.options().barSpacing;
  }

  private drawHatch({ context, range, left, right, height }: DrawingArea): void {
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    context.strokeStyle = range.color;
    context.globalAlpha = 0.32;
    context.lineWidth = 1.2;
    context.beginPath();
    const step = STEP_PX * Math.SQRT2;
    const first = Math.floor((left - height) / step) * step;
    for (let x = first; x < right; x += step) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.restore();
    context.save();
    context.strokeStyle = range.color;
    context.globalAlpha = 0.55;
    context.beginPath();
    for (const x of [left, right]) {
      context.moveTo(Math.round(x) + 0.5, 0);
      context.lineTo(Math.round(x) + 0.5, height);
    }
    context.stroke();
    context.restore();
  }

  private drawLabel(
    { context, range, left, right, height, width }: DrawingArea,
    rows: [left: number, right: number][][],
  ): void {
    context.save();
    context.font = FONT;
    const label_px = context.measureText(range.label).width + 14;
    const middle = (Math.max(0, left) + Math.min(width, right)) / 2;
    const x = Math.min(Math.max(4, middle - label_px / 2), width - label_px - 4);
    const row = rows.findIndex((taken) => taken.every(([from, to]) => x + label_px + 4 < from || x > to + 4));
    if (row < 0) {
      context.restore();
      return;
    }
    rows[row]?.push([x, x + label_px]);
    const y = height - LABEL_HEIGHT_PX - 7 - row * (LABEL_HEIGHT_PX + 3);
    context.fillStyle = range.tint;
    context.beginPath();
    context.roundRect(x, y, label_px, LABEL_HEIGHT_PX, 3);
    context.fill();
    context.fillStyle = range.color;
    context.textBaseline = 'middle';
    context.fillText(range.label, x + 7, y + LABEL_HEIGHT_PX / 2 + 0.5);
    context.restore();
  }
}

interface DrawingArea {
  context: CanvasRenderingContext2D;
  range: HatchRange;
  left: number;
  right: number;
  width: number;
  height: number;
}
