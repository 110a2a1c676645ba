import { Code, FilePlus2 } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import type { Strategy } from '@/api/types';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useStrategies } from '@/shared/queries';
import { toast } from '@/shared/toast';
import { usePhone } from '@/theme/ThemeProvider';
import { setDeleted, useDrafts } from './draft';
import { FileList } from './FileList';
import { copyName } from './file';
import { NewStrategy } from './NewStrategy';
import { useKeep, useStrategy } from './queries';
import { failureOf, Refusal } from './Refusal';
import { Workbench } from './Workbench';
import './ide.css';

export type Tab = 'result' | 'problems' | 'checks';

/** Where things are; the router stays outside. */
export interface Ways {
  /** A link to a strategy. */
  file(name: string, content: ReactNode): ReactNode;
  /** A link to what a version differs in. */
  version(name: string, version: number, content: ReactNode): ReactNode;
  /** A link to a run. */
  report(id: string, content: ReactNode): ReactNode;
  open(name: string): void;
  /** The list alone. */
  close(): void;
  show(change: { tab?: Tab; version?: number | null }): void;
}

/** Strategies and, of the one that is shown, its text, what it runs on and what came of it. */
export function IdeView(props: { name: string | null; tab: Tab; version: number | null; ways: Ways }) {
  const { name, ways } = props;
  const phone = usePhone();
  const list = useStrategies();
  const [making, setMaking] = useState<{ of: Strategy | null; code: string } | null>(null);
  const names = list.data?.items.map((one) => one.name) ?? [];
  const files = list.data ? (
    <FileList
      items={list.data.items}
      shown={name}
      link={ways.file}
      make={() => setMaking({ of: null, code: '' })}
    />
  ) : list.error ? (
    <ErrorState what="Strategies" error={list.error} retry={() => void list.refetch()} />
  ) : (
    <SkeletonRows rows={8} />
  );
  return (
    <div className={`ide ${name === null ? 'none' : ''}`}>
      {(!phone || name === null) && (
        <Panel title="Strategies" className="ide-list">
          {files}
        </Panel>
      )}
      {name === null ? (
        <div className="ide-empty">
          <Undo ways={ways} />
          <div className="panel">
            <div className="empty">
              <Code size={20} className="tertiary" aria-hidden />
              <div className="strong">Pick a strategy, or write one</div>
              <p>
                An example shows how it is done: copy one and change it. A new one begins with a template that
                runs as it is.
              </p>
              <button
                type="button"
                className="button primary"
                onClick={() => setMaking({ of: null, code: '' })}
              >
                <FilePlus2 size={14} aria-hidden />
                New strategy
              </button>
            </div>
          </div>
        </div>
      ) : (
        <One
          key={name}
          {...props}
          name={name}
          copy={(of, code) => setMaking({ of, code })}
          make={() => setMaking({ of: null, code: '' })}
        />
      )}
      {making && (
        <NewStrategy
          of={making.of}
          code={making.code}
          name={making.of ? copyName(making.of.name, names) : ''}
          taken={names}
          close={() => setMaking(null)}
          open={ways.open}
        />
      )}
    </div>
  );
}

function One(props: {
  name: string;
  tab: Tab;
  version: number | null;
  ways: Ways;
  copy(of: Strategy, code: string): void;
  make(): void;
}) {
  const { data, error, refetch } = useStrategy(props.name);
  if (!data) {
    return (
      <Panel title={props.name} className="ide-main-alone">
        {error ? (
          <ErrorState what="The strategy" error={error} retry={() => void refetch()} />
        ) : (
          <SkeletonRows rows={10} />
        )}
      </Panel>
    );
  }
  return <Workbench {...props} strategy={data} />;
}

/** The one that was deleted last can come back, with its text as its next version. */
function Undo({ ways }: { ways: Ways }) {
  const deleted = useDrafts((state) => state.deleted);
  const { make } = useKeep();
  if (!deleted) return null;
  const { name, code, description, parameters, author } = deleted;
  return (
    <div className="panel ide-undo" role="status">
      <div className="row">
        <span>{name} was deleted.</span>
        <span className="space" />
        <button
          type="button"
          className="button s primary"
          disabled={make.isPending}
          onClick={() =>
            make.mutate(
              { name, code, description, parameters, author },
              {
                onSuccess: (one) => {
                  setDeleted(null);
                  toast(`${name} is back, as version ${one.version}`);
                  ways.open(one.name);
                },
              },
            )
          }
        >
          Undo
        </button>
        <button type="button" className="button s quiet" onClick={() => setDeleted(null)}>
          Dismiss
        </button>
      </div>
      {make.error && <Refusal what="It did not come back" error={failureOf(make.error)} />}
    </div>
  );
}
