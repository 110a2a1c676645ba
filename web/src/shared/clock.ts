// Time for the screens: one timer per period, however many components follow it.

import { useSyncExternalStore } from 'react';

class Ticker {
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private now_ms = Date.now();
  private readonly period_ms: number;

  constructor(period_ms: number) {
    this.period_ms = period_ms;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.listeners.size === 1) this.arm();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) clearTimeout(this.timer);
    };
  };

  readonly read = (): number => this.now_ms;

  /** On the period's own boundary, so that a clock never skips a second. */
  private arm(): void {
    this.now_ms = Date.now();
    this.timer = setTimeout(
      () => {
        this.arm();
        for (const listener of this.listeners) listener();
      },
      this.period_ms - (this.now_ms % this.period_ms) + 1,
    );
  }
}

const second = new Ticker(1000);
const tenth = new Ticker(100);

/** Milliseconds since the epoch, renewed each second. */
export const useSecond = (): number => useSyncExternalStore(second.subscribe, second.read);

/** Milliseconds since the epoch, renewed ten times a second: for count-downs below ten seconds. */
export const useTenth = (): number => useSyncExternalStore(tenth.subscribe, tenth.read);
