import { useMutation, useQuery } from '@tanstack/react-query';
import { KeyRound } from 'lucide-react';
import { useDeferredValue, useEffect, useId, useState } from 'react';
import { ApiError, api } from '@/api/client';
import type { FetchEstimate, Provider } from '@/api/types';
import { bytes, count, duration, number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { toast } from '@/shared/toast';
import '@/shared/form.css';
import { beginning, type FetchForm, faults, orderOf, symbolsOf } from './fetch';
import './fetch.css';

const PROVIDERS = { queryKey: ['providers'], queryFn: () => api.providers(), staleTime: 60_000 };
/** Typing pauses for so long before anything is asked. */
const PAUSE_MS = 500;

/** History from a provider: what, from whom, how much of it, and then the job. */
export function FetchPanel({ started }: { started(): void }) {
  const { data, error, refetch } = useQuery(PROVIDERS);
  const [form, setForm] = useState<FetchForm | null>(null);
  const providers = data?.items;
  useEffect(() => {
    const first = providers?.find(({ ready }) => ready) ?? providers?.[0];
    if (first) setForm((old) => old ?? beginning(first, new Date()));
  }, [providers]);
  if (error && !data) return <ErrorState what="Providers" error={error} retry={() => void refetch()} />;
  if (!providers || !form) return <SkeletonRows rows={5} />;
  const provider = providers.find(({ name }) => name === form.provider);
  return (
    <div className="fetch-grid">
      <Panel title="What to fetch">
        <Fields providers={providers} provider={provider} form={form} change={setForm} />
      </Panel>
      <Panel title="What it takes">
        <Cost form={form} provider={provider} started={started} />
      </Panel>
    </div>
  );
}

function Fields(props: {
  providers: Provider[];
  provider: Provider | undefined;
  form: FetchForm;
  change(form: FetchForm): void;
}) {
  const { providers, provider, form, change } = props;
  const wrong = faults(form, provider);
  const set = (part: Partial<FetchForm>) => change({ ...form, ...part });
  return (
    <form className="form panel-body" onSubmit={(event) => event.preventDefault()}>
      <label className="field">
        <span>Provider</span>
        <select
          value={form.provider}
          onChange={({ target }) => {
            const next = providers.find(({ name }) => name === target.value);
            if (next) change({ ...beginning(next, new Date()), start: form.start, end: form.end });
          }}
        >
          {providers.map(({ name, ready }) => (
            <option key={name} value={name}>
              {name}
              {ready ? '' : ' (needs a key)'}
            </option>
          ))}
        </select>
        {provider && <span className="field-hint">{provider.summary}</span>}
      </label>
      {provider && !provider.ready && <Missing provider={provider} />}
      <Symbols
        form={form}
        wrong={symbolsOf(form.symbols).length > 0 ? wrong.symbols : undefined}
        set={set}
        ready={provider?.ready ?? false}
      />
      <div className="form-row">
        <label className="field">
          <span>What</span>
          <select
            value={form.kind}
            onChange={({ target }) => set({ kind: target.value as FetchForm['kind'] })}
          >
            {provider?.kinds.map((kind) => (
              <option key={kind} value={kind}>
                {kind}
              </option>
            ))}
          </select>
        </label>
        {form.kind === 'bars' && (
          <label className="field">
            <span>Interval</span>
            <select value={form.interval} onChange={({ target }) => set({ interval: target.value })}>
              {provider?.intervals.map((interval) => (
                <option key={interval}>{interval}</option>
              ))}
            </select>
          </label>
        )}
        <Entry
          name="Workers"
          type="number"
          value={String(form.workers)}
          wrong={wrong.workers}
          set={(text) => set({ workers: Number(text) })}
          most={provider?.limits.workers ?? 50}
        />
      </div>
      <div className="form-row">
        <Entry
          name="First day, UTC"
          type="date"
          value={form.start}
          wrong={wrong.start}
          set={(start) => set({ start })}
        />
        <Entry
          name="Last day, UTC"
          type="date"
          value={form.end}
          wrong={wrong.end}
          set={(end) => set({ end })}
        />
      </div>
    </form>
  );
}

function Entry(props: {
  name: string;
  type: string;
  value: string;
  wrong: string | undefined;
  most?: number;
  set(text: string): void;
}) {
  const { name, type, value, wrong, most, set } = props;
  const id = useId();
  return (
    <label className="field">
      <span>{name}</span>
      <input
        type={type}
        value={value}
        {...(most === undefined ? {} : { min: 1, max: most })}
        aria-invalid={wrong !== undefined}
        aria-describedby={wrong ? id : undefined}
        onChange={({ target }) => set(target.value)}
      />
      {wrong && (
        <span className="field-error" id={id}>
          {wrong}
        </span>
      )}
    </label>
  );
}

function Missing({ provider }: { provider: Provider }) {
  const missing = provider.credentials.filter(({ required, set }) => required && !set);
  return (
    <div className="fetch-key small" role="status">
      <KeyRound size={14} aria-hidden />
      <div>
        {provider.name} answers only with a key. Set{' '}
        {missing.map(({ name, variables }, at) => (
          <span key={name}>
            {at > 0 && ' and '}
            <code className="mono">{variables[0]}</code>
          </span>
        ))}{' '}
        in the environment of the platform, or in the system's keyring, and start it again.
      </div>
    </div>
  );
}

/** Names as the provider spells them; what is typed last is looked up there. */
function Symbols(props: {
  form: FetchForm;
  wrong: string | undefined;
  ready: boolean;
  set(part: Partial<FetchForm>): void;
}) {
  const { form, wrong, ready, set } = props;
  const typed = usePaused(/[^\s,;]*$/.exec(form.symbols)?.[0] ?? '');
  const found = useQuery({
    queryKey: ['symbols', form.provider, typed],
    queryFn: ({ signal }) => api.symbols(form.provider, typed, signal),
    enabled: ready && typed.length > 1,
    staleTime: 300_000,
    retry: false,
  });
  const named = new Set(symbolsOf(form.symbols));
  const offered = (found.data?.items ?? []).filter(({ symbol }) => !named.has(symbol)).slice(0, 8);
  return (
    <div className="field">
      <label className="field">
        <span>Symbols, as the provider spells them</span>
        <textarea
          value={form.symbols}
          spellCheck={false}
          autoCapitalize="characters"
          placeholder="one or many, with commas, spaces or lines between"
          aria-invalid={wrong !== undefined}
          onChange={({ target }) => set({ symbols: target.value })}
        />
      </label>
      {wrong && <span className="field-error">{wrong}</span>}
      {found.error instanceof ApiError && <span className="field-hint">{found.error.body.message}</span>}
      {offered.length > 0 && (
        <div className="row fetch-offers">
          {offered.map(({ symbol, name }) => (
            <button
              key={symbol}
              type="button"
              className="button xs"
              title={name}
              onClick={() => set({ symbols: `${form.symbols.replace(/[^\s,;]*$/, '')}${symbol}, ` })}
            >
              {symbol}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function Cost(props: { form: FetchForm; provider: Provider | undefined; started(): void }) {
  const { form, provider, started } = props;
  const fits = Object.keys(faults(form, provider)).length === 0;
  const order = usePaused(JSON.stringify(orderOf(form)));
  const settled = order === JSON.stringify(orderOf(form));
  const estimate = useQuery({
    queryKey: ['fetch-estimate', order],
    queryFn: ({ signal }) => api.estimateFetch(JSON.parse(order), signal),
    enabled: fits && settled,
    staleTime: 30_000,
    retry: false,
    placeholderData: (before) => before,
  });
  const begin = useMutation({
    mutationFn: () => api.fetchHistory(orderOf(form)),
    onSuccess: () => {
      toast('The fetch has begun; it goes on without this page');
      started();
    },
    onError: (error) => toast(`It was not begun: ${error.message}`, 'bad'),
  });
  const shown = fits ? estimate.data : undefined;
  const old = estimate.isPlaceholderData || !settled;
  return (
    <div className="panel-body form">
      {!fits && (
        <p className="secondary small">
          Name a symbol to see rows, requests and time before anything is asked.
        </p>
      )}
      {fits && estimate.error && <ErrorState what="The estimate" error={estimate.error} />}
      {fits && !shown && !estimate.error && <SkeletonRows rows={3} />}
      {shown && !estimate.error && <Figures estimate={shown} old={old} />}
      <div className="row">
        <button
          type="button"
          className="button primary"
          disabled={!fits || !provider?.ready || begin.isPending || shown?.chunks === 0}
          onClick={() => begin.mutate()}
        >
          {begin.isPending ? 'Beginning' : 'Fetch'}
        </button>
        <span className="tertiary small">It runs as a job: the page may be closed.</span>
      </div>
    </div>
  );
}

function Figures({ estimate, old }: { estimate: FetchEstimate; old: boolean }) {
  const whole = estimate.held > 0 && estimate.held === estimate.chunks;
  return (
    <dl className="facts" style={{ opacity: old ? 0.5 : 1 }} aria-busy={old}>
      <dt>Rows</dt>
      <dd className="mono">{whole ? 'all are here already' : `at most ${count(estimate.rows)}`}</dd>
      <dt>Requests</dt>
      <dd className="mono">{number(estimate.requests)}</dd>
      <dt>Time</dt>
      <dd className="mono">at least {duration(estimate.seconds * 1000)}, by the provider's limits</dd>
      <dt>Stored</dt>
      <dd className="mono">about {bytes(estimate.bytes)}</dd>
      {estimate.held > 0 && !whole && (
        <>
          <dt>Here already</dt>
          <dd className="mono">
            {number(estimate.held)} of {number(estimate.chunks)} pieces
          </dd>
        </>
      )}
    </dl>
  );
}

/** The value once it has not changed for a while. */
function usePaused<T>(value: T): T {
  const [paused, setPaused] = useState(value);
  const latest = useDeferredValue(value);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(latest), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [latest]);
  return paused;
}
