// Whether the dock is open, how wide it is, and which failures were seen: kept over a reload.

import { create } from 'zustand';
import { persist } from 'zustand/middleware';

export const WIDTH = { least: 320, most: 640, first: 368 } as const;

interface Dock {
  open: boolean;
  width_px: number;
  /** End of the latest failure that was on screen, ns since the epoch by the platform's clock. */
  seen_ns: string;
  /** It was opened just now, by somebody who wants the focus there; a reload does not take it. */
  entered: boolean;
}

export const useDock = create<Dock>()(
  persist((): Dock => ({ open: false, width_px: WIDTH.first, seen_ns: '0', entered: false }), {
    name: 'tidemill.jobs',
    version: 1,
    partialize: ({ open, width_px, seen_ns }) => ({ open, width_px, seen_ns }),
  }),
);

export const DOCK_BUTTON = 'jobs-button';

export function openDock(): void {
  useDock.setState({ open: true, entered: true });
}

/** Gives the focus back to what opens it. */
export function closeDock(): void {
  useDock.setState({ open: false, entered: false });
  document.getElementById(DOCK_BUTTON)?.focus();
}

export const toggleDock = (): void => (useDock.getState().open ? closeDock() : openDock());

export const boundWidth = (px: number): number => Math.round(Math.min(WIDTH.most, Math.max(WIDTH.least, px)));
