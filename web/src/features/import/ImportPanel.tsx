import { useMutation, useQuery } from '@tanstack/react-query';
import { FileUp } from 'lucide-react';
import { useEffect, useId, useRef, useState } from 'react';
import { api, upload } from '@/api/client';
import type { ImportPreview } from '@/api/types';
import { bytes, date, msOfNs, number, percent, timeOfDayMs } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { toast } from '@/shared/toast';
import '@/shared/form.css';
import { isReady, KINDS, ROLES, type Said, shownOf, sureness } from './import';
import './import.css';

interface Taken {
  upload: string;
  name: string;
  bytes: number;
}

/** A file becomes rows: taken in, looked at, understood, and then imported by a job. */
export function ImportPanel({ started }: { started(): void }) {
  const [taken, setTaken] = useState<Taken | null>(null);
  if (!taken) return <Drop taken={setTaken} />;
  return (
    <Understand
      key={taken.upload}
      taken={taken}
      another={() => setTaken(null)}
      started={() => {
        setTaken(null);
        started();
      }}
    />
  );
}

function Drop({ taken }: { taken(file: Taken): void }) {
  const [part, setPart] = useState<number | null>(null);
  const [over, setOver] = useState(false);
  const abort = useRef<AbortController | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const sending = useMutation({
    mutationFn: (file: File) => {
      abort.current = new AbortController();
      setPart(0);
      return upload(file, setPart, abort.current.signal);
    },
    onSuccess: taken,
    onSettled: () => setPart(null),
  });
  const take = (files: FileList | null) => {
    const file = files?.[0];
    if (file) sending.mutate(file);
  };
  const stopped = sending.error instanceof DOMException;
  return (
    <Panel title="A file">
      <div className="panel-body form">
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the button within does the same for a keyboard */}
        <div
          className={`import-drop ${over ? 'over' : ''}`}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => {
            event.preventDefault();
            setOver(false);
            take(event.dataTransfer.files);
          }}
        >
          <FileUp size={20} className="tertiary" aria-hidden />
          {part === null ? (
            <>
              <div className="strong">Drop a file here</div>
              <p className="tertiary small">
                CSV, Parquet, Arrow or JSON lines, also packed as gz, zst or zip: bars, trades or quotes.
                Nothing is kept before you have seen what would be.
              </p>
              <button type="button" className="button primary" onClick={() => input.current?.click()}>
                Choose a file
              </button>
            </>
          ) : (
            <>
              <div className="strong">Taking it in: {percent(part, 0)}</div>
              <progress value={part} max={1} aria-label="Upload" />
              <button type="button" className="button s quiet" onClick={() => abort.current?.abort()}>
                Stop
              </button>
            </>
          )}
          <input
            ref={input}
            type="file"
            hidden
            aria-label="File to import"
            onChange={({ target }) => take(target.files)}
          />
        </div>
        {sending.error && !stopped && <ErrorState what="The file" error={sending.error} />}
      </div>
    </Panel>
  );
}

function Understand(props: { taken: Taken; another(): void; started(): void }) {
  const { taken, another, started } = props;
  const [said, setSaid] = useState<Said>({});
  const [recipe, setRecipe] = useState('');
  const [saveAs, setSaveAs] = useState('');
  const [strict, setStrict] = useState(false);
  const recipes = useQuery({ queryKey: ['recipes'], queryFn: () => api.recipes(), staleTime: 30_000 });
  const ask = {
    upload: taken.upload,
    ...(recipe ? { recipe } : {}),
    changes: said as Record<string, unknown>,
  };
  const look = useQuery({
    queryKey: ['import-preview', ask],
    queryFn: ({ signal }) => api.previewImport(ask, signal),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    placeholderData: (before) => before,
  });
  const begin = useMutation({
    mutationFn: () => api.startImport({ ...ask, strict, ...(saveAs ? { save_recipe: saveAs } : {}) }),
    onSuccess: () => {
      toast(`${taken.name} is being imported; it goes on without this page`);
      started();
    },
    onError: (error) => toast(`It was not begun: ${error.message}`, 'bad'),
  });
  const preview = look.data;
  return (
    <div className="import-grid">
      <Panel
        title="What it means"
        note={`${taken.name}, ${bytes(taken.bytes)}`}
        actions={
          <button type="button" className="button xs quiet" onClick={another}>
            Another file
          </button>
        }
      >
        <div className="panel-body form">
          {(recipes.data?.items.length ?? 0) > 0 && (
            <label className="field">
              <span>Recipe</span>
              <select value={recipe} onChange={({ target }) => setRecipe(target.value)}>
                <option value="">guess from the file</option>
                {recipes.data?.items.map(({ name }) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          )}
          {look.error && <ErrorState what="The file" error={look.error} retry={() => void look.refetch()} />}
          {!preview && !look.error && <SkeletonRows rows={4} />}
          {preview && <Meaning preview={preview} said={said} change={setSaid} />}
        </div>
      </Panel>
      <Panel title="What would be kept" note={preview && sureness(preview.confidence)}>
        {preview ? (
          <>
            <Rows preview={preview} busy={look.isFetching} />
            <div className="panel-body form">
              <div className="row import-options">
                <label className="check small">
                  <input
                    type="checkbox"
                    checked={strict}
                    onChange={({ target }) => setStrict(target.checked)}
                  />
                  End at the first bad row
                </label>
                <label className="field">
                  <span>Save the recipe as</span>
                  <input
                    value={saveAs}
                    placeholder="not saved"
                    maxLength={64}
                    onChange={({ target }) => setSaveAs(target.value)}
                  />
                </label>
              </div>
              <div className="row">
                <button
                  type="button"
                  className="button primary"
                  disabled={!isReady(preview) || look.isFetching || begin.isPending}
                  onClick={() => begin.mutate()}
                >
                  Import
                </button>
                {preview.open.length > 0 && (
                  <span className="field-error">Say first: {preview.open.join(', ')}</span>
                )}
              </div>
            </div>
          </>
        ) : (
          <SkeletonRows rows={6} />
        )}
      </Panel>
    </div>
  );
}

function Meaning(props: { preview: ImportPreview; said: Said; change(said: Said): void }) {
  const { preview, said, change } = props;
  const shown = shownOf(preview, said);
  const set = (part: Said) => change({ ...said, ...part });
  const roles = ROLES[shown.kind];
  return (
    <>
      {preview.notes.length > 0 && (
        <ul className="small secondary import-notes">
          {preview.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <div className="form-row">
        <label className="field">
          <span>Rows are</span>
          <select value={shown.kind} onChange={({ target }) => change({ kind: target.value })}>
            {!shown.kind && <option value="">choose</option>}
            {KINDS.map((kind) => (
              <option key={kind}>{kind}</option>
            ))}
          </select>
        </label>
        <Text
          name="Instrument"
          value={shown.instrument}
          hint="ACME.import"
          set={(instrument) => set({ instrument })}
          open={preview.open.includes('instrument')}
        />
        {shown.kind === 'bars' && (
          <Text
            name="Interval"
            value={shown.interval}
            hint="1m"
            set={(interval) => set({ interval })}
            open={preview.open.includes('interval')}
          />
        )}
        <Text
          name="Time zone"
          value={shown.zone}
          hint="UTC, America/New_York"
          set={(zone) => set({ zone })}
          open={preview.open.includes('zone')}
        />
        {shown.kind === 'bars' && (
          <label className="field">
            <span>A bar's time is its</span>
            <select value={shown.at || 'start'} onChange={({ target }) => set({ at: target.value })}>
              <option value="start">begin</option>
              <option value="end">end</option>
            </select>
          </label>
        )}
      </div>
      {roles && (
        <div className="form-row">
          {[...roles.needed, ...roles.more].map((role) => (
            <label className="field" key={role}>
              <span>
                {role.replace('_', ' ')}
                {roles.needed.includes(role) ? '' : ' (if any)'}
              </span>
              <select
                value={shown.fields[role] ?? ''}
                onChange={({ target }) => {
                  const { [role]: _old, ...others } = shown.fields;
                  set({ fields: target.value ? { ...others, [role]: target.value } : others });
                }}
              >
                <option value="">none</option>
                {preview.columns.map(({ name, example }) => (
                  <option key={name} value={name}>
                    {example ? `${name} (${example})` : name}
                  </option>
                ))}
              </select>
            </label>
          ))}
        </div>
      )}
    </>
  );
}

/** What is typed counts when the field is left, or with Enter: each change is a look at the file. */
function Text(props: { name: string; value: string; hint: string; open: boolean; set(text: string): void }) {
  const { name, value, hint, open, set } = props;
  const [text, setText] = useState(value);
  const id = useId();
  useEffect(() => setText(value), [value]);
  const settle = () => text !== value && set(text.trim());
  return (
    <label className="field">
      <span>{name}</span>
      <input
        value={text}
        placeholder={hint}
        spellCheck={false}
        aria-invalid={open}
        aria-describedby={open ? id : undefined}
        onChange={({ target }) => setText(target.value)}
        onBlur={settle}
        onKeyDown={({ key }) => key === 'Enter' && settle()}
      />
      {open && (
        <span className="field-error" id={id}>
          It must be said.
        </span>
      )}
    </label>
  );
}

function Rows({ preview, busy }: { preview: ImportPreview; busy: boolean }) {
  const zone = useSettings((settings) => settings.zone);
  const { rows, bad, sample } = preview;
  const names = Object.keys(rows[0] ?? {}).filter((name) => name !== 'line');
  const cell = (name: string, value: unknown): string => {
    if (name !== 'ts') return String(value ?? '');
    const at = msOfNs(String(value));
    return `${date(at, zone)} ${timeOfDayMs(at, zone)}`;
  };
  return (
    <div className="import-rows" style={{ opacity: busy ? 0.6 : 1 }} aria-busy={busy}>
      {sample && (
        <p className="small secondary panel-body">
          Of the first {number(sample.rows + sample.bad + sample.skipped)} rows {number(sample.rows)} are good
          {sample.bad > 0 && `, ${number(sample.bad)} would be set aside with their reason`}
          {sample.skipped > 0 && `, ${number(sample.skipped)} are left out`}.
        </p>
      )}
      {rows.length > 0 && (
        <div className="import-scroll">
          <table>
            <thead>
              <tr>
                {names.map((name) => (
                  <th key={name}>{name === 'ts' ? 'time' : name.replace('_', ' ')}</th>
                ))}
              </tr>
            </thead>
            <tbody className="mono">
              {rows.slice(0, 12).map((row, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a file may hold the same row twice
                <tr key={at}>
                  {names.map((name) => (
                    <td key={name}>{cell(name, row[name])}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {bad.length > 0 && (
        <ul className="import-bad small panel-body">
          {bad.slice(0, 8).map(({ line, reason, text }) => (
            <li key={line}>
              <span className="field-error">
                Line {number(line)}: {reason}
              </span>{' '}
              <code className="mono tertiary">{text.slice(0, 120)}</code>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
