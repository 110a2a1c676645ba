import { Copy, Play, Save, ShieldCheck, Trash2 } from 'lucide-react';
import { lazy, Suspense, useCallback, useMemo, useState } from 'react';
import type { Strategy } from '@/api/types';
import { type Command, useRegister } from '@/shared/command';
import type { Mark, Place } from '@/shared/editor/CodeEditor';
import { Boundary, ErrorState, SkeletonRows } from '@/shared/Panel';
import { useConfig, useInstruments } from '@/shared/queries';
import { copyText, toast } from '@/shared/toast';
import { usePhone } from '@/theme/ThemeProvider';
import { CheckPanel } from './CheckPanel';
import { forget, typed, useDrafts } from './draft';
import { lineOf } from './file';
import type { Tab, Ways } from './IdeView';
import { type Checked, type Outcome, useOutcomes } from './outcome';
import { PlainCode } from './PlainCode';
import { ProblemList } from './ProblemList';
import { useDiagnosis, useKeep, useVersion } from './queries';
import { failureOf, Refusal } from './Refusal';
import { ResultPanel } from './ResultPanel';
import { SetupPanel } from './SetupPanel';
import { askOf, curlSnippet, pythonSnippet, useSetup, wrongOf } from './setup';
import { useActions } from './use-actions';
import { useFollow, useShortcuts, useTaught } from './use-page';
import { VersionList } from './VersionList';

const CodeEditor = lazy(() => import('@/shared/editor/CodeEditor'));
const DiffView = lazy(() => import('@/shared/editor/DiffView'));
const NOTHING: Outcome & Checked = {};

/** One strategy: its text, what it runs on, and what came of it. */
export function Workbench(props: {
  strategy: Strategy;
  tab: Tab;
  version: number | null;
  ways: Ways;
  copy(of: Strategy, code: string): void;
  make(): void;
}) {
  const { strategy, tab, version, ways, copy } = props;
  const { name } = strategy;
  const phone = usePhone();
  const editable = strategy.origin === 'database';
  const draft = useDrafts(({ drafts }) => drafts[name]);
  const text = draft?.text ?? strategy.code;
  const diagnosis = useDiagnosis(text);
  // A text that is no Python for a moment has not lost its parameters.
  const about = diagnosis.data?.about;
  const params = about?.class_name ? about.params : strategy.params;
  const listed = useInstruments();
  const instruments = listed.data?.map(({ instrument }) => instrument) ?? [];
  const first = instruments[0] ?? '';
  const setup = useSetup();
  const ask = useMemo(() => askOf(setup, first, name, params), [setup, first, name, params]);
  const wrong = wrongOf(setup, first, name, params);
  const [place, setPlace] = useState<Place | null>(null);
  const [side, setSide] = useState<'run' | 'versions'>(version === null ? 'run' : 'versions');
  const outcome = useOutcomes(({ runs }) => runs[name] ?? NOTHING);
  const checked = useOutcomes(({ checks }) => checks[name] ?? NOTHING);
  const show = useCallback((next: Tab) => ways.show({ tab: next }), [ways]);
  const { save, run, check, keep } = useActions({ strategy, text, ask, wrong, show });
  useFollow(name);
  useTaught(!phone);

  const busy = Boolean(outcome.asking || outcome.job);
  const marks = useMemo((): Mark[] => {
    const found: Mark[] = [...(diagnosis.data?.problems ?? [])];
    if (checked.result && checked.text === text) found.push(...checked.result.problems);
    const line = outcome.error && outcome.text === text ? lineOf(outcome.error.message, name) : null;
    if (line !== null && outcome.error) {
      found.push({
        severity: 'error',
        code: outcome.error.code ?? '',
        message: outcome.error.message,
        line,
        column: 1,
        end_line: line,
        end_column: 1_000,
      });
    }
    return found;
  }, [diagnosis.data, checked, outcome, text, name]);
  const stale = diagnosis.isFetching || diagnosis.isPlaceholderData;
  const remove = () =>
    keep.remove.mutate(name, {
      onSuccess: () => ways.close(),
      onError: (error) => toast(`It was not deleted: ${failureOf(error).message}`, 'bad'),
    });

  useShortcuts({ save: () => void save(), run: () => void run() });
  const home = useConfig().data?.home ?? '';
  const commands = useMemo(
    (): Command[] => [
      {
        id: 'ide.run',
        title: `Run ${name}`,
        group: 'Strategy',
        keys: 'Ctrl Enter',
        words: 'backtest',
        run: () => void run(),
      },
      {
        id: 'ide.save',
        title: `Save ${name}`,
        group: 'Strategy',
        keys: 'Ctrl S',
        words: 'version',
        run: () => void save(),
      },
      {
        id: 'ide.check',
        title: `Check ${name} for look-ahead`,
        group: 'Strategy',
        words: 'warm-up',
        run: () => void check(false),
      },
      { id: 'ide.copy', title: `Copy ${name} to edit`, group: 'Strategy', run: () => copy(strategy, text) },
      { id: 'ide.new', title: 'New strategy', group: 'Strategy', words: 'template write', run: props.make },
      {
        id: 'ide.copyPython',
        title: 'Copy the backtest as Python',
        group: 'Strategy',
        words: 'code snippet',
        run: () => void copyText(pythonSnippet(ask), 'Python'),
      },
      {
        id: 'ide.copyCurl',
        title: 'Copy the backtest as curl',
        group: 'Strategy',
        words: 'code snippet',
        run: () => void copyText(curlSnippet(location.origin, home, ask), 'Command'),
      },
    ],
    [name, run, save, check, copy, strategy, text, ask, home, props.make],
  );
  useRegister(commands);

  const errors = marks.filter(({ severity }) => severity === 'error').length;
  const tabs: [Tab, string][] = [
    ['result', 'Result'],
    ['problems', marks.length === 0 ? 'Problems' : `Problems ${marks.length}`],
    ['checks', 'Check'],
  ];
  return (
    <>
      <div className="ide-main">
        <section className="panel ide-text" aria-label={`Text of ${name}`}>
          <header className="panel-head ide-head">
            <h1 className="cut">
              {name}.py
              {draft && <span className="ide-unsaved" title="Not saved" />}
            </h1>
            {draft ? (
              <span className="small state-stale">not saved</span>
            ) : (
              <span className="chip">{editable ? `v${strategy.version}` : 'read only'}</span>
            )}
            <span className="space" />
            {editable && !phone && (
              <>
                <button
                  type="button"
                  className="icon-button"
                  aria-label="Delete"
                  title="Delete"
                  disabled={keep.remove.isPending}
                  onClick={remove}
                >
                  <Trash2 size={15} aria-hidden />
                </button>
                <button
                  type="button"
                  className="button s"
                  disabled={!draft || keep.save.isPending}
                  onClick={() => void save()}
                  title="Ctrl S"
                >
                  <Save size={14} aria-hidden />
                  Save
                </button>
              </>
            )}
            <button type="button" className="button s" onClick={() => copy(strategy, text)}>
              <Copy size={14} aria-hidden />
              {editable ? 'Copy' : 'Copy to edit'}
            </button>
            <button
              type="button"
              className="button s"
              disabled={checked.busy}
              onClick={() => void check(false)}
            >
              <ShieldCheck size={14} aria-hidden />
              Check
            </button>
            <button
              type="button"
              className="button s primary"
              disabled={busy || wrong !== null}
              onClick={() => void run()}
              title={wrong ?? 'Ctrl Enter'}
            >
              <Play size={14} aria-hidden />
              {busy ? 'Running' : 'Backtest'}
            </button>
          </header>
          {draft && draft.version !== strategy.version && <Conflict strategy={strategy} ways={ways} />}
          {version !== null && editable ? (
            <Difference
              strategy={strategy}
              version={version}
              text={text}
              unsaved={Boolean(draft)}
              ways={ways}
            />
          ) : phone ? (
            <PlainCode text={text} marks={marks} label={`Text of ${name}`} />
          ) : (
            <Boundary what="The editor">
              <Suspense fallback={<SkeletonRows rows={12} />}>
                <CodeEditor
                  path={`${name}.py`}
                  text={text}
                  readOnly={!editable}
                  label={`Text of ${name}`}
                  marks={marks}
                  place={place}
                  change={(next) => editable && typed(strategy, next)}
                />
              </Suspense>
            </Boundary>
          )}
        </section>
        <section className="panel ide-below" aria-label="Results">
          <div className="tabs" role="tablist" aria-label="Results">
            {tabs.map(([id, words]) => (
              <button
                key={id}
                type="button"
                role="tab"
                id={`ide-tab-${id}`}
                aria-selected={tab === id}
                aria-controls="ide-part"
                onClick={() => show(id)}
              >
                {words}
                {id === 'problems' && errors > 0 && <span className="dot state-error" />}
              </button>
            ))}
          </div>
          <div id="ide-part" role="tabpanel" aria-labelledby={`ide-tab-${tab}`} className="ide-part">
            <Boundary what="The results">
              {tab === 'result' ? (
                <ResultPanel
                  name={name}
                  outcome={outcome}
                  report={ways.report}
                  go={(line) => setPlace({ line, column: 1 })}
                />
              ) : tab === 'checks' ? (
                <CheckPanel
                  checked={checked}
                  old={checked.text !== text}
                  instrument={ask.instruments[0] ?? ''}
                  check={(stored) => void check(stored)}
                />
              ) : diagnosis.error ? (
                <ErrorState what="Problems" error={diagnosis.error} retry={() => void diagnosis.refetch()} />
              ) : (
                <ProblemList marks={marks} stale={stale} go={setPlace} />
              )}
            </Boundary>
          </div>
        </section>
      </div>
      <aside className="panel ide-side" aria-label="Settings">
        <div className="tabs" role="tablist" aria-label="Settings">
          {(
            [
              ['run', 'Settings'],
              ['versions', 'Versions'],
            ] as const
          ).map(([id, words]) => (
            <button key={id} type="button" role="tab" aria-selected={side === id} onClick={() => setSide(id)}>
              {words}
            </button>
          ))}
        </div>
        <div className="scroll ide-side-part">
          {side === 'run' ? (
            <SetupPanel
              name={name}
              params={params}
              instruments={instruments}
              wrong={listed.isPending ? null : wrong}
            />
          ) : (
            <VersionList
              strategy={strategy}
              shown={version}
              link={(number, content) => ways.version(name, number, content)}
            />
          )}
        </div>
      </aside>
    </>
  );
}

/** Somebody else saved a version after this text was begun. */
function Conflict({ strategy, ways }: { strategy: Strategy; ways: Ways }) {
  const { name, version, code } = strategy;
  return (
    <div className="ide-conflict" role="alert">
      <span>Version {version} was saved elsewhere while this was changed.</span>
      <span className="space" />
      <button type="button" className="button s" onClick={() => ways.show({ version })}>
        Compare
      </button>
      <button
        type="button"
        className="button s"
        onClick={() =>
          useDrafts.setState(({ drafts }) => {
            const draft = drafts[name];
            return draft
              ? { drafts: { ...drafts, [name]: { ...draft, base: code, version: version ?? 0 } } }
              : {};
          })
        }
      >
        Keep mine
      </button>
      <button type="button" className="button s" onClick={() => forget(name)}>
        Take theirs
      </button>
    </div>
  );
}

/** What a version differs in from what is in the editor, and the way back to it. */
function Difference(props: {
  strategy: Strategy;
  version: number;
  text: string;
  unsaved: boolean;
  ways: Ways;
}) {
  const { strategy, version, text, unsaved, ways } = props;
  const { data, error, refetch } = useVersion(strategy.name, version);
  const { save } = useKeep();
  const same = data?.code === text;
  return (
    <>
      <div className="ide-difference">
        <span className="medium">v{version}</span>
        <span className="secondary">
          {same
            ? 'is what is in the editor'
            : unsaved
              ? 'against what is not saved yet'
              : `against v${strategy.version}`}
        </span>
        <span className="space" />
        {!same && data && (
          <button
            type="button"
            className="button s primary"
            disabled={unsaved || save.isPending}
            title={unsaved ? 'Save your changes first' : `It becomes version ${(strategy.version ?? 0) + 1}`}
            onClick={() =>
              save.mutate(
                { name: strategy.name, code: data.code, version: strategy.version ?? 0 },
                {
                  onSuccess: (one) => {
                    toast(`v${version} is restored, as version ${one.version}`);
                    ways.show({ version: null });
                  },
                },
              )
            }
          >
            Restore v{version}
          </button>
        )}
        <button type="button" className="button s" onClick={() => ways.show({ version: null })}>
          Back to the text
        </button>
      </div>
      {save.error && <Refusal what="It was not restored" error={failureOf(save.error)} />}
      {data ? (
        <Boundary what="The difference">
          <Suspense fallback={<SkeletonRows rows={12} />}>
            <DiffView before={data.code} after={text} label={`Version ${version} and the text`} />
          </Suspense>
        </Boundary>
      ) : error ? (
        <ErrorState what="The version" error={error} retry={() => void refetch()} />
      ) : (
        <SkeletonRows rows={12} />
      )}
    </>
  );
}
