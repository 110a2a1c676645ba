import { useQueries } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api } from '@/api/client';
import type { CollectorStatus } from '@/api/types';
import { number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { isWarning, LogLines, lineMoment_ms } from './LogLines';

/** Newest lines of all collectors together. */
export function LogPanel({ collectors }: { collectors: CollectorStatus[] }) {
  const [warnings, setWarnings] = useState(false);
  const names = collectors.map(({ venue }) => venue);
  const { lines, error, waiting } = useQueries({
    queries: names.map((venue) => ({
      queryKey: ['logs', venue],
      queryFn: () => api.logs(venue, 200),
      refetchInterval: 3_000,
    })),
    combine: (results) => ({
      lines: results.flatMap((result) => result.data?.items ?? []),
      error: results.find((result) => result.error && !result.data)?.error ?? null,
      waiting: results.length === 0 || results.some((result) => result.isPending),
    }),
  });
  const shown = useMemo(
    () =>
      lines
        .filter((line) => !warnings || isWarning(line))
        .sort((a, b) => lineMoment_ms(b.ts) - lineMoment_ms(a.ts))
        .slice(0, 200),
    [lines, warnings],
  );
  return (
    <Panel
      className="log"
      title="Log"
      note={`${number(names.length)} ${names.length === 1 ? 'collector' : 'collectors'}, newest first`}
      actions={
        // biome-ignore lint/a11y/useSemanticElements: two toggle buttons, not a form
        <div className="segments s" role="group" aria-label="Lines shown">
          <button type="button" aria-pressed={!warnings} onClick={() => setWarnings(false)}>
            All
          </button>
          <button type="button" aria-pressed={warnings} onClick={() => setWarnings(true)}>
            Warnings
          </button>
        </div>
      }
    >
      {error && lines.length === 0 ? (
        <ErrorState what="Log" error={error} />
      ) : waiting && lines.length === 0 ? (
        <SkeletonRows rows={6} />
      ) : (
        <LogLines lines={shown} venues />
      )}
    </Panel>
  );
}
