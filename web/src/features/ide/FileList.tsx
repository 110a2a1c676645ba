import { Plus, TriangleAlert } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import type { StrategySummary } from '@/api/types';
import { Scroll } from '@/shared/Scroll';
import { useDrafts } from './draft';
import { GROUPS, ofGroup } from './file';

/** All strategies by where they are; `link` makes the way to one. */
export function FileList(props: {
  items: StrategySummary[];
  shown: string | null;
  link(name: string, content: ReactNode): ReactNode;
  make(): void;
}) {
  const [search, setSearch] = useState('');
  const drafts = useDrafts((state) => state.drafts);
  const found = GROUPS.map((group) => ({ ...group, items: ofGroup(props.items, group.origin, search) }));
  return (
    <>
      <div className="ide-files-head">
        <input
          type="search"
          className="ide-search"
          placeholder="Find a strategy"
          aria-label="Find a strategy"
          value={search}
          onChange={({ target }) => setSearch(target.value)}
        />
        <button type="button" className="button s" onClick={props.make}>
          <Plus size={14} aria-hidden />
          New
        </button>
      </div>
      <Scroll label="Strategies" className="ide-files">
        {found.map(({ origin, title, note, items }) => (
          <section key={origin} aria-label={title}>
            <h3>
              {title} <span className="tertiary">{note}</span>
            </h3>
            {items.length === 0 && (
              <p className="small tertiary">
                {search !== ''
                  ? 'None of that name.'
                  : origin === 'database'
                    ? 'None yet. New makes one that runs as it is.'
                    : 'None.'}
              </p>
            )}
            <ul>
              {items.map((one) => (
                <li key={one.name} className={one.name === props.shown ? 'on' : ''}>
                  {props.link(
                    one.name,
                    <>
                      <span className="cut">{one.name}</span>
                      {drafts[one.name] && (
                        <span className="ide-unsaved" title="Not saved">
                          <span className="hidden">not saved</span>
                        </span>
                      )}
                      <span className="space" />
                      {one.faults.length > 0 ? (
                        <span title={one.faults[0]?.message}>
                          <TriangleAlert size={12} className="state-error" aria-label="has a fault" />
                        </span>
                      ) : (
                        <span className="micro tertiary">
                          {one.version === null ? one.kind : `v${one.version}`}
                        </span>
                      )}
                    </>,
                  )}
                </li>
              ))}
            </ul>
          </section>
        ))}
      </Scroll>
    </>
  );
}
