import type { Dataset } from '@/api/types';
import { NONE } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { Answer } from './Answer';
import { useFields } from './queries';

/** Columns as SQL and Python have them. */
export function Schema({ row }: { row: Dataset }) {
  const fields = useFields(row.id);
  return (
    <Panel
      title="Schema"
      note={fields.data ? `${fields.data.items.length} columns of ${row.kind}, as SQL has them` : undefined}
    >
      <Answer what="The schema" answer={fields} rows={8}>
        {({ items }) => (
          <Scroll label="Columns">
            <table className="dataset-schema">
              <thead>
                <tr>
                  <th>Column</th>
                  <th>Type</th>
                  <th>Unit</th>
                  <th>May be null</th>
                  <th>Meaning</th>
                </tr>
              </thead>
              <tbody>
                {items.map(({ name, type, unit, nullable, meaning }) => (
                  <tr key={name}>
                    <td className="mono">{name}</td>
                    <td className="mono secondary">{type}</td>
                    <td className="secondary">{unit ?? NONE}</td>
                    <td className={nullable ? '' : 'tertiary'}>{nullable ? 'yes' : 'no'}</td>
                    <td className="secondary text">{meaning}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Answer>
    </Panel>
  );
}
