import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '@/api/client';
import type { Strategy } from '@/api/types';
import { Dialog } from '@/shared/Dialog';
import { isName } from './file';
import { useKeep } from './queries';
import { failureOf, Refusal } from './Refusal';

/** Asks for a name, and makes a strategy of a template or of another one's text. */
export function NewStrategy(props: {
  /** The one to copy; null begins with a template. */
  of: Strategy | null;
  /** The text of the copy. */
  code: string;
  name: string;
  taken: string[];
  close(): void;
  open(name: string): void;
}) {
  const { of, close } = props;
  const [name, setName] = useState(props.name);
  const [kind, setKind] = useState<'signal' | 'event'>('signal');
  const { make } = useKeep();
  const start = useMutation({
    mutationFn: async () => {
      const code = of ? props.code : (await api.strategyTemplate(name, kind)).code;
      return make.mutateAsync({ name, code, ...(of ? { description: of.description } : {}) });
    },
    onSuccess: (one) => {
      close();
      props.open(one.name);
    },
  });
  const wrong =
    name !== '' && !isName(name)
      ? 'Lower-case letters, digits and _, beginning with a letter.'
      : props.taken.includes(name)
        ? 'There is one of that name.'
        : null;
  return (
    <Dialog open label={of ? `Copy ${of.name}` : 'New strategy'} className="ide-dialog" close={close}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (wrong === null && name !== '') start.mutate();
        }}
      >
        <h2>{of ? `Copy ${of.name} to edit` : 'New strategy'}</h2>
        <label className="field">
          <span>Name</span>
          <input
            value={name}
            aria-invalid={wrong !== null}
            placeholder="my_strategy"
            spellCheck={false}
            onChange={({ target }) => setName(target.value.trim())}
          />
          <span className={wrong ? 'field-error' : 'field-hint'}>
            {wrong ?? 'It is kept on this platform, in versions.'}
          </span>
        </label>
        {!of && (
          <fieldset className="ide-kinds">
            <legend className="hidden">Kind</legend>
            {(
              [
                ['signal', 'By signal', 'A formula of how much to hold. Fast, and it cannot look ahead.'],
                ['event', 'Bar after bar', 'Orders of its own: limits, stops, state.'],
              ] as const
            ).map(([value, title, note]) => (
              <label key={value} className={kind === value ? 'on' : ''}>
                <input type="radio" name="kind" checked={kind === value} onChange={() => setKind(value)} />
                <span>
                  <span className="medium">{title}</span>
                  <span className="small secondary">{note}</span>
                </span>
              </label>
            ))}
          </fieldset>
        )}
        {start.error && <Refusal what="It was not made" error={failureOf(start.error)} />}
        <div className="row">
          <span className="space" />
          <button type="button" className="button quiet" onClick={close}>
            Cancel
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={wrong !== null || name === '' || start.isPending}
          >
            {of ? 'Copy' : 'Make it'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
