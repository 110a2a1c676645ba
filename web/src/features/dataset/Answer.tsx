import type { ReactNode } from 'react';
import { ErrorState, SkeletonRows } from '@/shared/Panel';

/** What is made of an answer; the shape of it while it comes, and why where it does not. */
export function Answer<T>(props: {
  what: string;
  answer: { data: T | undefined; error: Error | null; refetch(): unknown };
  rows?: number;
  children(data: T): ReactNode;
}) {
  const { what, answer, rows = 4, children } = props;
  if (answer.data !== undefined) return children(answer.data);
  if (answer.error)
    return <ErrorState what={what} error={answer.error} retry={() => void answer.refetch()} />;
  return <SkeletonRows rows={rows} />;
}
