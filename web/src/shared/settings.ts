// What this browser remembers: looks, time zone, last chart.

import { create } from 'zustand';
import { persist } from 'zustand/middleware';
import type { Mode, Palette } from '@/theme/themes';
import type { Interval } from './interval';

export type ThemeChoice = Mode | 'system';
export type Density = 'compact' | 'default' | 'comfortable';

/** Row height of tables in px; density changes rows and cell padding, never type. */
export const ROW_HEIGHT: Record<Density, number> = { compact: 24, default: 28, comfortable: 36 };

interface Settings {
  theme: ThemeChoice;
  palette: Palette;
  density: Density;
  /** IANA name of the zone in which times are shown. */
  zone: string;
  /** Rising candles are drawn hollow, so that direction does not hang on colour. */
  hollow: boolean;
  instrument: string | null;
  interval: Interval;
}

export const useSettings = create<Settings>()(
  persist(
    (): Settings => ({
      theme: 'dark',
      palette: 'green-red',
      density: 'default',
      zone: 'UTC',
      hollow: false,
      instrument: null,
      interval: '1m',
    }),
    { name: 'tidemill.settings', version: 1 },
  ),
);

export function setSettings(change: Partial<Settings>): void {
  useSettings.setState(change);
}

export const browserZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Zones offered in the header: UTC, this browser's, and those of the large markets. */
export function zoneChoices(): string[] {
  return [
    ...new Set(['UTC', browserZone(), 'America/New_York', 'Europe/London', 'Asia/Tokyo', 'Asia/Singapore']),
  ];
}

/** `UTC` stays, `America/New_York` is `New York`. */
export const zoneLabel = (zone: string): string => zone.split('/').at(-1)?.replaceAll('_', ' ') ?? zone;
