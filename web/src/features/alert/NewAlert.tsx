import { useId, useState } from 'react';
import type { AlertAsk } from '@/api/types';
import { Panel } from '@/shared/Panel';
import { useInstruments } from '@/shared/queries';
import '@/shared/form.css';
import { type FieldOf, fault, KINDS, type KindName, kindOf, termsOf } from './alert';
import { useCreateAlert } from './queries';

/** Asks what to wait for and whom to tell. */
export function NewAlert(props: { instrument?: string | undefined }) {
  const [kind, setKind] = useState<KindName>('price');
  const [texts, setTexts] = useState<Record<string, string>>(
    props.instrument ? { instrument: props.instrument } : {},
  );
  const [url, setUrl] = useState('');
  const [to, setTo] = useState('');
  const [once, setOnce] = useState(false);
  const instruments = useInstruments().data;
  const create = useCreateAlert();
  const names = useId();
  const watch = useId();
  const shape = kindOf(kind);
  const fields = shape?.fields ?? [];
  const first = instruments?.[0]?.instrument ?? '';
  const typed = (field: FieldOf) =>
    texts[field.name] ?? (field.name === 'instrument' && first !== '' ? first : field.value);
  const faults = fields.map((field) => fault(field, typed(field))).filter((one) => one !== null);
  const submit = () => {
    const given = Object.fromEntries(fields.map((field) => [field.name, typed(field)]));
    const channels = [
      ...(url.trim() === '' ? [] : [{ channel: 'webhook' as const, url: url.trim() }]),
      ...(to.trim() === '' ? [] : [{ channel: 'mail' as const, to: to.trim() }]),
    ];
    create.mutate({ terms: termsOf(kind, given), channels, once } as AlertAsk);
  };
  return (
    <Panel title="New alert">
      <form
        className="form panel-body"
        onSubmit={(event) => {
          event.preventDefault();
          if (faults.length === 0) submit();
        }}
      >
        <div className="field">
          <label className="field-name" htmlFor={watch}>
            Watch
          </label>
          <select
            id={watch}
            value={kind}
            onChange={({ target }) => {
              setKind(target.value as KindName);
              create.reset();
            }}
          >
            {KINDS.map((one) => (
              <option key={one.kind} value={one.kind}>
                {one.title}
              </option>
            ))}
          </select>
          <span className="field-hint">{shape?.about}</span>
        </div>
        <div className="form-row">
          {fields.map((field) => (
            <Field
              key={`${kind} ${field.name}`}
              field={field}
              text={typed(field)}
              list={field.name === 'instrument' ? names : undefined}
              set={(text) => setTexts((old) => ({ ...old, [field.name]: text }))}
            />
          ))}
        </div>
        <datalist id={names}>
          {instruments?.map((one) => (
            <option key={one.instrument} value={one.instrument} />
          ))}
        </datalist>
        <div className="form-row">
          <label className="field">
            <span>Webhook, if any</span>
            <input
              type="url"
              placeholder="https://…"
              value={url}
              onChange={({ target }) => setUrl(target.value)}
            />
          </label>
          <label className="field">
            <span>E-mail, if any</span>
            <input
              type="email"
              placeholder="you@example.org"
              value={to}
              onChange={({ target }) => setTo(target.value)}
            />
          </label>
        </div>
        <label className="check">
          <input type="checkbox" checked={once} onChange={({ target }) => setOnce(target.checked)} />
          Once: switched off by its first firing
        </label>
        <NotificationAsk />
        {faults[0] !== undefined && Object.keys(texts).length > 0 && (
          <p className="field-error">{faults[0]}</p>
        )}
        {create.error && (
          <p className="field-error" role="alert">
            {create.error.message}
          </p>
        )}
        <div>
          <button type="submit" className="button primary" disabled={faults.length > 0 || create.isPending}>
            Create alert
          </button>
        </div>
      </form>
    </Panel>
  );
}

function Field(props: { field: FieldOf; text: string; list: string | undefined; set(text: string): void }) {
  const { field, text, list, set } = props;
  const id = useId();
  return (
    <div className="field">
      <label className="field-name" htmlFor={id}>
        {field.label}
      </label>
      {field.choices ? (
        <select id={id} value={text} onChange={({ target }) => set(target.value)}>
          {field.choices.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          value={text}
          inputMode={field.above === undefined ? undefined : 'decimal'}
          {...(list ? { list } : {})}
          onChange={({ target }) => set(target.value)}
        />
      )}
      {field.hint && <span className="field-hint">{field.hint}</span>}
    </div>
  );
}

/** Notifications of the browser have to be allowed by a click, once. */
function NotificationAsk() {
  const [state, setState] = useState(() =>
    'Notification' in window ? Notification.permission : ('denied' as const),
  );
  if (state !== 'default') return null;
  return (
    <button
      type="button"
      className="button"
      onClick={() => void Notification.requestPermission().then(setState)}
    >
      Let the browser notify me while Tidemill is open
    </button>
  );
}
