// Chart primitive: dotted line at the last price and its filled label with the bar's count-down on the price axis.

import type {
  IPrimitivePaneView,
  ISeriesApi,
  ISeriesPrimitive,
  SeriesAttachedParameter,
  SeriesType,
  Time,
} from 'lightweight-charts';
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

const FONT = "'IBM Plex Sans', system-ui, sans-serif";
const HEIGHT_PX = 32;
const SINGLE_HEIGHT_PX = 18;

export class LastPrice implements ISeriesPrimitive<Time> {
  private look: LastPriceLook | null = null;
  private series: ISeriesApi<SeriesType> | null = null;
  private update: (() => void) | null = null;
  private readonly lineViews: readonly IPrimitivePaneView[] = [
    { zOrder: () => 'normal', renderer: () => ({ draw: (target) => this.drawLine(target) }) },
  ];
  private readonly labelViews: readonly IPrimitivePaneView[] = [
    { zOrder: () => 'normal', renderer: () => ({ draw: (target) => this.drawLabel(target) }) },
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

  set(look: LastPriceLook | null): void {
    this.look = look;
    this.update?.();
  }

  private drawLine(target: Target): void {
    const y = this.look && this.series?.priceToCoordinate(this.look.price);
    if (y == null) return;
    paint(target, ({ context, mediaSize }) => {
      context.strokeStyle = this.look?.fill ?? '';
      context.lineWidth = 1;
      context.setLineDash([1, 3]);
      context.beginPath();
      context.moveTo(0, Math.round(y) + 0.5);
      context.lineTo(mediaSize.width, Math.round(y) + 0.5);
      context.stroke();
    });
  }

  private drawLabel(target: Target): void {
    const { look } = this;
    const y = look && this.series?.priceToCoordinate(look.price);
    if (!look || y == null) return;
    paint(target, ({ context, mediaSize }) => {
      const height = look.note ? HEIGHT_PX : SINGLE_HEIGHT_PX;
      const top = Math.round(Math.min(Math.max(y - 9, 0), mediaSize.height - height));
      context.fillStyle = look.outlined ? look.ink : look.fill;
      context.beginPath();
      context.roundRect(1, top, mediaSize.width - 2, height, 2);
      context.fill();
      if (look.outlined) {
        context.strokeStyle = look.fill;
        context.lineWidth = 1;
        context.beginPath();
        context.roundRect(1.5, top + 0.5, mediaSize.width - 3, height - 1, 2);
        context.stroke();
      }
      context.fillStyle = look.outlined ? look.fill : look.ink;
      context.textBaseline = 'middle';
      context.font = `600 11.5px ${FONT}`;
      context.fillText(look.text, 8, top + 10);
      context.font = `400 10.5px ${FONT}`;
      if (look.note) context.fillText(look.note, 8, top + 23);
    });
  }
}
