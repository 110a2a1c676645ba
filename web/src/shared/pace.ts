// Work that is asked for more often than eyes can follow.

/** Numbers that change more often than ten times a second cannot be read; drawing them less leaves every frame in time. */
export const DRAW_MS = 100;

/** Runs `work` at once after a rest, else as soon as `period_ms` have gone by since the last time; never without being asked. */
export class Pace {
  private readonly work: () => void;
  private readonly period_ms: number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last_ms = Number.NEGATIVE_INFINITY;

  constructor(work: () => void, period_ms = DRAW_MS) {
    this.work = work;
    this.period_ms = period_ms;
  }

  ask(): void {
    if (this.timer !== undefined) return;
    const wait_ms = this.last_ms + this.period_ms - performance.now();
    if (wait_ms <= 0) this.run();
    else this.timer = setTimeout(() => this.run(), wait_ms);
  }

  /** Forgets what was asked for. */
  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private run(): void {
    this.timer = undefined;
    this.last_ms = performance.now();
    this.work();
  }
}
