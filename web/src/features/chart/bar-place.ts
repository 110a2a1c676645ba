// How many bars a chart shows at first and after a reset.

/** Width of a bar and its distance to the next; of few bars each is wider, up to the second. */
const BAR_PX = 5.6;
const WIDE_BAR_PX = 14;
const FEWEST = 30;

export function placesFor(width_px: number, bars: number): number {
  const fewest = Math.max(FEWEST, Math.round(width_px / WIDE_BAR_PX));
  return Math.max(fewest, Math.min(bars, Math.round(width_px / BAR_PX)));
}
