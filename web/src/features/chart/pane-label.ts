// Chart primitive: a name and a value at the top left of a pane.

import type { IPrimitivePaneView, ISeriesPrimitive, SeriesAttachedParameter, Time } from 'lightweight-charts';
import { FONT } from '@/theme/themes';
import { paint, type Target } from './paint';

export interface PaneLabelLook {
  name: string;
  value: string;
  nameColor: string;
  valueColor: string;
  /** Behind the text, so that bars do not run through it. */
  surface: string;
}

const HEIGHT_PX = 17;

export class PaneLabel implements ISeriesPrimitive<Time> {
  private look: PaneLabelLook | null = null;
  private update: (() => void) | null = null;
  private readonly views: readonly IPrimitivePaneView[] = [
    { zOrder: () => 'top', renderer: () => ({ draw: (target) => this.draw(target) }) },
  ];

  attached({ requestUpdate }: SeriesAttachedParameter<Time>): void {
    this.update = requestUpdate;
  }

  detached(): void {
    this.update = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  set(look: PaneLabelLook | null): void {
    this.look = look;
    this.update?.();
  }

  private draw(target: Target): void {
    const { look } = this;
    if (!look) return;
    paint(target, ({ context }) => {
      context.save();
      context.font = `400 11px ${FONT}`;
      const name = `${look.name} `;
      const nameWidth = context.measureText(name).width;
      const width = nameWidth + context.measureText(look.value).width;
      context.globalAlpha = 0.88;
      context.fillStyle = look.surface;
      context.fillRect(6, 4, width + 10, HEIGHT_PX);
      context.globalAlpha = 1;
      context.textBaseline = 'middle';
      context.fillStyle = look.nameColor;
      context.fillText(name, 10, 4 + HEIGHT_PX / 2);
      context.fillStyle = look.valueColor;
      context.fillText(look.value, 10 + nameWidth, 4 + HEIGHT_PX / 2);
      context.restore();
    });
  }
}
