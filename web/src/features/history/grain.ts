// How fine what is drawn is, in words.

import type { Columns, View } from './columns';
import { type Level, levelFor, widthText } from './tile';

/** What is drawn, and the view it was made for. */
export interface Shown {
  columns: Columns;
  view: View;
  level: Level;
  exact: boolean;
}

/** Whether this is all there is to draw of a view. It came from a worker: the view is a copy. */
export const isOf = (shown: Shown, view: View): boolean =>
  shown.exact && shown.view.from === view.from && shown.view.to === view.to;

/** How fine what is drawn is, and whether it will become finer. */
export function grainText(shown: Shown | null, view: View, pixels: number, late: boolean): string {
  if (!shown) return 'loading';
  const { level, columns } = shown;
  const drawn = columns.grain > 0 ? `bars of ${widthText(columns.grain)}` : level.text;
  if (late) {
    const wanted = levelFor(view.to - view.from, pixels);
    return wanted.width < level.width ? `${drawn}, ${wanted.text} is loading` : `${drawn}, loading`;
  }
  return columns.grain > 0 ? `${drawn}, nothing finer is stored` : drawn;
}
