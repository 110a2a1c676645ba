// Web Worker: asks for tiles, decodes and keeps them, and turns what is seen into one number per pixel. The page asks for a view
// as often as it likes; only the newest one is answered, first from what is here already, then exactly.

import { type Columns, columnsOf, type View } from './columns';
import { indexesOf, LEVELS, type Level, levelFor, readTiles, runsOf, type Tile } from './tile';

export interface Asked {
  instrument: string;
  view: View;
  pixels: number;
  /** Tiles that may have grown are asked for again. */
  fresh?: boolean;
}

export type Answer =
  | { kind: 'columns'; view: View; columns: Columns; level: Level; exact: boolean; took_ms: number }
  | { kind: 'error'; status: number; body: unknown; message: string };

/** Tiles kept: some 12 MB. */
const MOST = 250;
/** The newest tiles grow; older ones change when a late trade comes, which a new page will see. */
const GROWS_MS = 60_000;

const kept = new Map<string, Tile>();
let instrument = '';
let newest = 0;
let running: AbortController | null = null;

const keyOf = (one: Level, index: number): string => `${one.name}/${index}`;

function keep(tile: Tile): void {
  const key = keyOf(tile.level, tile.index);
  kept.delete(key);
  kept.set(key, tile);
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST) break;
    kept.delete(oldest);
  }
}

function here(one: Level, view: View): Tile[] | null {
  const found = indexesOf(one, view.from, view.to).map((index) => kept.get(keyOf(one, index)));
  return found.every((tile) => tile !== undefined) ? (found as Tile[]) : null;
}

async function fetchRun(one: Level, run: { index: number; count: number }, signal: AbortSignal) {
  const query = new URLSearchParams({
    level: one.name,
    index: String(run.index),
    count: String(run.count),
  });
  const answer = await fetch(`/api/v1/data/${encodeURIComponent(instrument)}/tiles?${query}`, {
    credentials: 'same-origin',
    signal,
  });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => null));
  for (const tile of readTiles(await answer.arrayBuffer(), one, run.index)) keep(tile);
}

class Refusal extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, body: unknown) {
    super(`the platform answered with ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function answer(asked: Asked, number: number): Promise<void> {
  const began = performance.now();
  const { view, pixels } = asked;
  if (asked.instrument !== instrument) {
    instrument = asked.instrument;
    kept.clear();
  }
  const one = levelFor(view.to - view.from, pixels);
  const send = (tiles: Tile[], level: Level, exact: boolean) =>
    postMessage({
      kind: 'columns',
      view,
      columns: columnsOf(tiles, view, pixels),
      level,
      exact,
      took_ms: performance.now() - began,
    } satisfies Answer);
  const wanted = indexesOf(one, view.from, view.to);
  const now = Date.now();
  const missing = wanted.filter((index) => {
    const tile = kept.get(keyOf(one, index));
    if (!tile) return true;
    const newest_ms = tile.at.at(-1) ?? 0;
    return asked.fresh === true && (tile.open || now - newest_ms < GROWS_MS + one.width);
  });
  if (missing.length > 0) {
    const coarse = LEVELS.find((level) => level.width > one.width && here(level, view) !== null);
    const tiles = coarse && here(coarse, view);
    if (coarse && tiles && !asked.fresh) send(tiles, coarse, false);
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    try {
      await Promise.all(runsOf(missing).map((run) => fetchRun(one, run, signal)));
    } catch (error) {
      if (signal.aborted || number !== newest) return;
      running.abort();
      const refused = error instanceof Refusal ? error : null;
      postMessage({
        kind: 'error',
        status: refused?.status ?? 0,
        body: refused?.body ?? null,
        message: error instanceof Error ? error.message : String(error),
      } satisfies Answer);
      return;
    }
  }
  if (number !== newest) return;
  const tiles = here(one, view);
  if (tiles) send(tiles, one, true);
}

self.addEventListener('message', (event: MessageEvent<Asked>) => {
  newest += 1;
  void answer(event.data, newest);
});
