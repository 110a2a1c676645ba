// A place in a venue's journal. Positions compare as (epoch, sequence).

export interface Position {
  epoch: number;
  sequence: number;
}

export function comparePosition(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.sequence - b.sequence;
}
