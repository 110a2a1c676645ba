import { CircleAlert } from 'lucide-react';
import type { ReactNode } from 'react';
import { ApiError } from '@/api/client';
import { Words } from '@/shared/Words';
import type { Failure } from './outcome';

export const failureOf = (error: unknown): Failure =>
  error instanceof ApiError
    ? error.body
    : { message: error instanceof Error ? error.message : String(error), code: 'page.unexpected' };

/** Why something was not done, in the platform's words, and what to do. */
export function Refusal(props: { what: string; error: Failure; children?: ReactNode }) {
  const { what, error } = props;
  return (
    <div className="ide-refusal" role="alert">
      <div className="row">
        <CircleAlert size={16} className="state-error" aria-hidden />
        <span className="strong">{what}</span>
        {error.code && <span className="mono small tertiary">{error.code}</span>}
      </div>
      <p className="small secondary">
        <Words text={error.message} />
      </p>
      {error.hint && (
        <p className="small">
          <span className="tertiary">Fix</span> <Words text={error.hint} />
        </p>
      )}
      {error.code === 'sandbox_missing' && (
        <p className="small secondary">
          Code from the database or a folder runs in a sandbox alone.{' '}
          <span className="mono">tidemill doctor</span> says what this machine lacks; on a machine of your
          own, <span className="mono">tidemill up --trust-local-code</span> runs it without one. Examples run
          anywhere.
        </p>
      )}
      {props.children}
    </div>
  );
}
