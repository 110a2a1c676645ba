// Where data comes from that is not collected live.

export const WAYS = [
  ['provider', 'From a provider'],
  ['file', 'From a file'],
] as const;
export type Way = (typeof WAYS)[number][0];
export const isWay = (text: unknown): text is Way => WAYS.some(([way]) => way === text);
