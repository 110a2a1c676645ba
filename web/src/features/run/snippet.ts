// The same backtest by program: text that runs as it is pasted.

import type { Backtest } from '@/api/types';

const literal = (value: unknown): string =>
  typeof value === 'boolean' ? (value ? 'True' : 'False') : value === null ? 'None' : JSON.stringify(value);

const iso = (ns: string): string => new Date(Number(BigInt(ns) / 1_000_000n)).toISOString();

export function pythonOf(run: Backtest): string {
  const { costs, cash, limit_fill, as_recorded, engine } = run.settings as Record<string, unknown>;
  const given: [string, unknown][] = [
    ...(run.start === null ? [] : ([['start', iso(run.start)]] as [string, unknown][])),
    ...(run.end === null ? [] : ([['end', iso(run.end)]] as [string, unknown][])),
    ...Object.entries(run.params),
    ['engine', engine ?? run.engine],
    ['cash', cash],
    ['limit_fill', limit_fill],
    ['as_recorded', as_recorded],
  ];
  const paid = Object.entries((costs ?? {}) as Record<string, unknown>).filter(
    ([name, value]) => !(name === 'leverage' ? Number(value) === 1 : Number(value) === 0),
  );
  const words = given
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `    ${name}=${literal(value)},`);
  const price = paid.map(([name, value]) => `${JSON.stringify(name)}: ${literal(value)}`).join(', ');
  const on = run.instruments.length === 1 ? run.instruments[0] : run.instruments;
  return [
    'import tidemill as tm',
    '',
    'td = tm.connect()',
    'run = td.backtest(',
    `    ${literal(run.strategy)}, ${literal(on)}, ${literal(run.interval)},`,
    ...words,
    `    costs={${price}},`,
    ')',
    'run.stats["sharpe"], run.stats["trials"], run.stats["deflated_sharpe"]',
    '',
  ].join('\n');
}

/** The token stays in its file: it never enters the clipboard. */
export function curlOf(origin: string, { id }: Backtest): string {
  return `curl -H "Authorization: Bearer $(cat ~/.tidemill/token)" '${origin}/api/v1/backtests/${encodeURIComponent(id)}'\n`;
}
