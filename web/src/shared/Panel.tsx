import { CircleAlert } from 'lucide-react';
import { Component, type ReactNode } from 'react';
import { ApiError } from '@/api/client';
import type { ErrorBody } from '@/api/types';
import { copyText } from './toast';
import { Words } from './Words';

/** A panel that fails says so inside its own frame; the page goes on. */
export class Boundary extends Component<{ what: string; children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return <ErrorState what={this.props.what} error={error} retry={() => this.setState({ error: null })} />;
  }
}

export function Panel(props: {
  title: string;
  note?: ReactNode;
  actions?: ReactNode;
  className?: string;
  children: ReactNode;
}) {
  const { title, note, actions, className = '', children } = props;
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header className="panel-head">
        <h2>{title}</h2>
        {note !== undefined && <span className="note">{note}</span>}
        <span className="space" />
        {actions}
      </header>
      <Boundary what={title}>{children}</Boundary>
    </section>
  );
}

const bodyOf = (error: unknown): Partial<ErrorBody> & { message: string } =>
  error instanceof ApiError
    ? error.body
    : { message: error instanceof Error ? error.message : String(error), code: 'page.unexpected' };

/** What failed, what is therefore not shown, how to fix it. */
export function ErrorState(props: { what: string; error: unknown; retry?: () => void }) {
  const body = bodyOf(props.error);
  const details = JSON.stringify(body, null, 2);
  return (
    <div className="panel-body" role="alert" style={{ display: 'grid', gap: 8, alignContent: 'start' }}>
      <div className="row">
        <CircleAlert size={16} className="state-error" aria-hidden />
        <span className="strong">{props.what} could not be loaded</span>
      </div>
      <div className="small secondary">
        <Words text={body.message} />
      </div>
      {body.hint && (
        <div className="small">
          <span className="tertiary">Fix</span> <Words text={body.hint} />
        </div>
      )}
      <dl className="facts">
        <dt>Code</dt>
        <dd className="mono">{body.code}</dd>
        {body.request_id && (
          <>
            <dt>Request</dt>
            <dd className="mono">{body.request_id}</dd>
          </>
        )}
      </dl>
      <div className="row">
        {props.retry && (
          <button type="button" className="button s primary" onClick={props.retry}>
            Retry
          </button>
        )}
        <button type="button" className="button s quiet" onClick={() => void copyText(details, 'Details')}>
          Copy details
        </button>
      </div>
    </div>
  );
}

/** The shape of what comes; rows of three bars. */
export function SkeletonRows(props: { rows: number }) {
  return (
    <div className="panel-body" aria-hidden style={{ display: 'grid', gap: 14 }}>
      {Array.from({ length: props.rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike and never move
        <div className="row" key={i}>
          <i className="skeleton" style={{ width: 44 + ((i * 37) % 48) }} />
          <span className="space" />
          <i className="skeleton" style={{ width: 48 }} />
          <i className="skeleton" style={{ width: 36 }} />
        </div>
      ))}
    </div>
  );
}
