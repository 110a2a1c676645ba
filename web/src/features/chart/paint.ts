import type { IPrimitivePaneRenderer } from 'lightweight-charts';

export type Target = Parameters<IPrimitivePaneRenderer['draw']>[0];

interface Canvas {
  context: CanvasRenderingContext2D;
  mediaSize: { width: number; height: number };
}

/** Draws in CSS pixels, whatever the screen's pixel ratio. */
export function paint(target: Target, draw: (canvas: Canvas) => void): void {
  // biome-ignore lint/correctness/useHookAtTopLevel: the library's method only looks like a hook
  target.useMediaCoordinateSpace(draw);
}
