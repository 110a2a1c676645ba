import { Copy, NotebookPen, Square } from 'lucide-react';
import { useState } from 'react';
import type { Lab, LabKind } from '@/api/types';
import { msOfNs, timeOfDay } from '@/shared/format';
import { Panel } from '@/shared/Panel';
import { useSettings } from '@/shared/settings';
import { copyText } from '@/shared/toast';
import { Words } from '@/shared/Words';
import { type useOpen, useStop } from './queries';

export const NAMES: Record<LabKind, string> = { jupyter: 'JupyterLab', marimo: 'marimo' };
const INSTALL = "pip install 'tidemill[notebook]'";
const COMMAND = 'tidemill lab';

type Opening = ReturnType<typeof useOpen>;

/** Whether a lab runs, and how to open, start and end it. */
export function LabPanel({ lab, opening }: { lab: Lab; opening: Opening }) {
  const kind = lab.kind ?? 'jupyter';
  const starting = lab.state === 'starting' || opening.isPending;
  return (
    <Panel title={NAMES[kind]} note={starting ? 'starting' : STATES[lab.state]}>
      {lab.state === 'missing' ? (
        <Missing />
      ) : lab.state === 'refused' ? (
        <Refused lab={lab} />
      ) : (
        <div className="panel-body lab-body">
          <p className="secondary">
            Opens in a tab of its own, with an address and a key of its own: what a notebook shows never gets
            at this page. The kernel “Tidemill” reads this platform by{' '}
            <code className="mono">tm.connect()</code>.
          </p>
          {lab.state === 'failed' && lab.error && !starting && (
            <p className="small state-error" role="alert">
              <Words text={lab.error.message} /> <Words text={lab.error.hint} />
            </p>
          )}
          <div className="row lab-actions">
            <OpenButtons lab={lab} opening={opening} starting={starting} />
            {(lab.state === 'running' || lab.state === 'starting') && <StopButton />}
          </div>
          {lab.state === 'running' && <Facts lab={lab} />}
          <Typed label="Or from a terminal" command={COMMAND} />
        </div>
      )}
    </Panel>
  );
}

const STATES: Record<Lab['state'], string> = {
  stopped: 'not running',
  starting: 'starting',
  running: 'running',
  failed: 'did not start',
  missing: 'not installed',
  refused: 'not on this platform',
};

function OpenButtons(props: { lab: Lab; opening: Opening; starting: boolean }) {
  const { lab, opening, starting } = props;
  if (starting)
    return (
      <button type="button" className="button" disabled aria-busy>
        Starting…
      </button>
    );
  if (lab.state === 'running' && lab.kind && lab.url)
    return (
      <a className="button primary" href={lab.url} target="_blank" rel="noopener noreferrer">
        <NotebookPen size={14} aria-hidden /> Open {NAMES[lab.kind]}
      </a>
    );
  return lab.kinds.map((kind, at) => (
    <button
      key={kind}
      type="button"
      className={`button ${at === 0 ? 'primary' : ''}`}
      onClick={() => opening.mutate({ kind })}
    >
      {at === 0 && <NotebookPen size={14} aria-hidden />} Open {NAMES[kind]}
    </button>
  ));
}

/** Asks once more: kernels hold what was computed and not written down. */
function StopButton() {
  const [asked, setAsked] = useState(false);
  const stop = useStop();
  if (!asked)
    return (
      <button type="button" className="button" onClick={() => setAsked(true)}>
        <Square size={12} aria-hidden /> Stop
      </button>
    );
  return (
    <>
      <button type="button" className="button" disabled={stop.isPending} onClick={() => stop.mutate()}>
        {stop.isPending ? 'Stopping…' : 'End it with all kernels'}
      </button>
      <button type="button" className="button quiet" onClick={() => setAsked(false)}>
        Keep it
      </button>
    </>
  );
}

function Facts({ lab }: { lab: Lab }) {
  const zone = useSettings((settings) => settings.zone);
  return (
    <dl className="facts">
      <dt>Address</dt>
      <dd className="mono">127.0.0.1:{lab.port}</dd>
      <dt>Since</dt>
      <dd>{lab.since === null ? '' : timeOfDay(msOfNs(lab.since), zone)}</dd>
      <dt>Ends</dt>
      <dd>{lab.by === 'terminal' ? 'with its terminal' : 'with the platform'}</dd>
      <dt>Notebooks</dt>
      <dd className="mono">{lab.folder}</dd>
    </dl>
  );
}

function Typed({ label, command }: { label: string; command: string }) {
  return (
    <div className="row lab-command">
      <span className="tertiary small">{label}</span>
      <code className="mono">{command}</code>
      <button
        type="button"
        className="button s quiet"
        aria-label={`Copy ${command}`}
        onClick={() => void copyText(command, 'Command')}
      >
        <Copy size={12} aria-hidden /> Copy
      </button>
    </div>
  );
}

function Missing() {
  return (
    <div className="empty">
      <NotebookPen size={28} strokeWidth={1.25} className="tertiary" aria-hidden />
      <h2>JupyterLab is not installed</h2>
      <p>Install it into the environment that runs the platform, and this page opens the notebooks below.</p>
      <Typed label="" command={INSTALL} />
    </div>
  );
}

function Refused({ lab }: { lab: Lab }) {
  return (
    <div className="empty">
      <NotebookPen size={28} strokeWidth={1.25} className="tertiary" aria-hidden />
      <h2>Not started from here</h2>
      <p>
        <Words text={lab.error?.message} />
      </p>
      <p>
        <Words text={lab.error?.hint} />
      </p>
      <Typed label="" command={COMMAND} />
    </div>
  );
}
