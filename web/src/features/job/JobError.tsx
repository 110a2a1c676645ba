import { CircleAlert } from 'lucide-react';
import type { Job } from '@/api/types';
import { Words } from '@/shared/Words';

/** Why a job failed, in the one error shape: what happened, what to do, where more is written. */
export function JobError({ error }: { error: NonNullable<Job['error']> }) {
  return (
    <div className="job-error small">
      <div className="row">
        <CircleAlert size={14} strokeWidth={2} className="state-error" aria-hidden />
        <span>
          <Words text={error.message} />
        </span>
      </div>
      {error.hint && (
        <div>
          <span className="tertiary">Fix</span> <Words text={error.hint} />
        </div>
      )}
      <div className="tertiary">
        <span className="mono">{error.code}</span>
        {error.docs && (
          <>
            {' · '}
            {/^https?:/.test(error.docs) ? (
              <a href={error.docs} target="_blank" rel="noreferrer">
                Documentation
              </a>
            ) : (
              <span className="mono">{error.docs}</span>
            )}
          </>
        )}
      </div>
    </div>
  );
}
