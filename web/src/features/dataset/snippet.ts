// A dataset by program: text that runs as it is pasted; and the SQL that counts what is odd in it.

import { apiPath } from '@/api/client';
import type { Dataset } from '@/api/types';

type Named = Pick<Dataset, 'instrument' | 'kind' | 'venue' | 'resolution'>;

/** Text within quotes of SQL. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export function pythonSnippet(row: Named): string {
  const name = JSON.stringify(row.instrument);
  const head = ['import tidemill as tm', '', 'td = tm.connect()'];
  const call: Record<string, string> = {
    trades: `trades = td.trades(${name}, last="1h")`,
    quotes: `quotes = td.quotes(${name}, last="1h")`,
    levels: `book = td.book(${name}, depth=20)`,
    bars: `bars = td.bars(${name}, ${JSON.stringify(row.resolution === '1s' ? '1m' : row.resolution)})`,
  };
  return [...head, call[row.kind] ?? `td.sql(${JSON.stringify(sqlOf(row))})`, ''].join('\n');
}

/** One UTC day of a dataset, or of bars one month. */
export function sqlOf(row: Named, day?: string): string {
  const where = [`venue = ${quoted(row.venue)}`, `instrument = ${quoted(row.instrument)}`];
  if (row.kind === 'bars') {
    where.push(`interval = ${quoted(row.resolution)}`);
    if (day) where.push(`month = ${quoted(day.slice(0, 7))}`, `ts::DATE = ${quoted(day)}`);
  } else if (day) where.push(`date = ${quoted(day)}`);
  return `SELECT *\nFROM ${row.kind}\nWHERE ${where.join('\n  AND ')}`;
}

export const sqlSnippet = (row: Named, day?: string): string =>
  `${sqlOf(row, day)}\nORDER BY ${row.kind === 'bars' ? 'ts' : 'ts_event'} DESC\nLIMIT 100`;

/** The token stays in its file: it never enters the clipboard. */
export function curlSnippet(origin: string, home: string, row: Named): string {
  const name = encodeURIComponent(row.instrument);
  const path: Record<string, string> = {
    trades: apiPath(`/data/${name}/ticks`, { limit: 1000 }),
    quotes: apiPath(`/data/${name}/quotes`, { limit: 1000 }),
    levels: apiPath(`/data/${name}/book`, { depth: 20 }),
    bars: apiPath(`/data/${name}/bars`, {
      interval: row.resolution === '1s' ? '1m' : row.resolution,
      limit: 5000,
    }),
  };
  return `curl -H "Authorization: Bearer $(cat '${home}/token')" '${origin}${path[row.kind]}'\n`;
}

export interface Check {
  name: string;
  /** What is counted, in words. */
  says: string;
  sql: string;
}

/** Counts of one day. Each statement gives `found` of `total`. */
export function checksOf(row: Named, day: string): Check[] {
  const rows = sqlOf(row, day).replace('SELECT *\n', '');
  const of = (from: string, found: string) =>
    `SELECT count(*) FILTER (WHERE ${found}) AS found, count(*) AS total\nFROM (\n${from}\n)`;
  const doubled: Check = {
    name: 'Duplicates',
    says:
      row.kind === 'bars'
        ? 'two bars of one source with the same start'
        : 'rows with the position of another in the journal',
    sql:
      row.kind === 'bars'
        ? of(
            `SELECT row_number() OVER (PARTITION BY interval, ts, source ORDER BY revision) AS nth\n${rows}`,
            'nth > 1',
          )
        : of(
            `SELECT row_number() OVER (PARTITION BY epoch, sequence, ts_event, source ORDER BY ts_recv) AS nth\n${rows}`,
            'nth > 1',
          ),
  };
  if (row.kind === 'bars') {
    return [
      doubled,
      {
        name: 'Impossible bars',
        says: 'high below, or low above, another of its prices; or a price that is not above 0',
        sql: of(
          `SELECT open, high, low, close\n${rows}`,
          'high < greatest(open, close, low) OR low > least(open, close) OR low <= 0',
        ),
      },
      {
        name: 'Outliers',
        says: 'closes more than 10 % from the close before',
        sql: of(
          `SELECT close::DOUBLE AS price, lag(close::DOUBLE) OVER (ORDER BY ts) AS before\n${rows}`,
          'abs(price / before - 1) > 0.1',
        ),
      },
      {
        name: 'Revised',
        says: 'bars that a trade which came late changed',
        sql: of(`SELECT revision\n${rows}`, 'revision > 0'),
      },
    ];
  }
  const order: Check = {
    name: 'Out of order',
    says: 'rows whose time at the venue lies before that of the row which arrived before them',
    sql: of(
      `SELECT ts_event, lag(ts_event) OVER (PARTITION BY epoch ORDER BY sequence) AS before\n${rows}\n  AND epoch > 0`,
      'ts_event < before',
    ),
  };
  const late: Check = {
    name: 'Late',
    says: 'live rows that arrived more than 1 s after the time at the venue',
    sql: of(
      `SELECT ts_event, ts_recv\n${rows}\n  AND source = 'live'`,
      'epoch_ns(ts_recv) - epoch_ns(ts_event) > 1000000000',
    ),
  };
  if (row.kind === 'trades') {
    return [
      doubled,
      order,
      {
        name: 'Repeated ids',
        says: 'trades with an id of the venue that another trade has',
        sql: of(
          `SELECT row_number() OVER (PARTITION BY id, source ORDER BY ts_recv) AS nth\n${rows}\n  AND id IS NOT NULL`,
          'nth > 1',
        ),
      },
      {
        name: 'Outliers',
        says: 'prices more than 5 % from the trade before',
        sql: of(
          `SELECT price::DOUBLE AS price, lag(price::DOUBLE) OVER (ORDER BY ts_event, epoch, sequence) AS before\n${rows}`,
          'abs(price / before - 1) > 0.05',
        ),
      },
      late,
    ];
  }
  if (row.kind === 'quotes') {
    return [
      doubled,
      order,
      {
        name: 'Crossed books',
        says: 'best bids at or above the best offer',
        sql: of(
          [
            'SELECT side, price::DOUBLE AS ask,',
            "  last_value(CASE WHEN side = 'bid' THEN price::DOUBLE END IGNORE NULLS)",
            '    OVER (PARTITION BY epoch ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS bid',
            rows,
          ].join('\n'),
          "side = 'ask' AND ask > 0 AND bid >= ask",
        ),
      },
      late,
    ];
  }
  return [doubled, order, late];
}

/** All checks as one statement, so that one process counts them: a row of `at`, `found` and `total` each. */
export const checksSql = (checks: readonly Check[]): string =>
  checks
    .map(({ sql }, at) => `SELECT ${at} AS at, found, total FROM (\n${sql}\n)`)
    .join('\nUNION ALL\n')
    .concat('\nORDER BY at');
