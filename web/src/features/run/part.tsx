import type { Backtest } from '@/api/types';
import { ErrorState, SkeletonRows } from '@/shared/Panel';
import type { Summary } from './run';

/** What every part of the report is drawn of. */
export interface Part {
  run: Backtest;
  summary: Summary;
}

export function Kpi(props: { name: string; value: string; note: string; tone?: string }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd className={`kpi ${props.tone ?? ''}`}>{props.value}</dd>
      <dd className="small secondary">{props.note}</dd>
    </div>
  );
}

export function Waits(props: { what: string; error: Error | null; retry(): void }) {
  return props.error ? (
    <ErrorState what={props.what} error={props.error} retry={props.retry} />
  ) : (
    <SkeletonRows rows={6} />
  );
}
