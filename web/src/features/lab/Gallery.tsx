import type { Lab, LabNotebook } from '@/api/types';
import { Panel } from '@/shared/Panel';
import { Words } from '@/shared/Words';
import { NAMES } from './LabPanel';
import { addressOf, type useOpen } from './queries';

/** The notebooks that come with Tidemill; each opens where it can. */
export function Gallery({ lab, opening }: { lab: Lab; opening: ReturnType<typeof useOpen> }) {
  return (
    <Panel title="Notebooks" note="copied into your folder, never over what you changed">
      <ul className="gallery">
        {lab.notebooks.map((notebook) => (
          <li key={notebook.name}>
            <Card notebook={notebook} lab={lab} opening={opening} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Card(props: { notebook: LabNotebook; lab: Lab; opening: ReturnType<typeof useOpen> }) {
  const { notebook, lab, opening } = props;
  const asked = { kind: notebook.kind, notebook: notebook.name };
  const title = notebook.title.replace(/^\d+ · /, '');
  return (
    <article className="notebook" aria-label={title}>
      <div className="row">
        <h3>{title}</h3>
        <span className="space" />
        {notebook.kind === 'marimo' && <span className="chip">marimo</span>}
      </div>
      <p className="secondary small">
        <Words text={notebook.line} />
      </p>
      <p className="tertiary small">
        Needs <NeedsWords text={notebook.needs} />
      </p>
      <div className="row">
        <span className="mono tertiary cut">{notebook.name}</span>
        <span className="space" />
        <OpenNotebook asked={asked} title={title} lab={lab} opening={opening} />
      </div>
    </article>
  );
}

/** What stands in `backticks` is to be typed; the sentence goes on in lower case. */
const NeedsWords = ({ text }: { text: string }) =>
  text.split('`').map((part, i) =>
    i % 2 === 0 ? (
      part
    ) : (
      // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence never move
      <code className="mono" key={i}>
        {part}
      </code>
    ),
  );

function OpenNotebook(props: {
  asked: { kind: LabNotebook['kind']; notebook: string };
  title: string;
  lab: Lab;
  opening: ReturnType<typeof useOpen>;
}) {
  const { asked, title, lab, opening } = props;
  const address = addressOf(lab, asked);
  if (address)
    return (
      <a
        className="button s"
        href={address}
        target="_blank"
        rel="noopener noreferrer"
        aria-label={`Open ${title}`}
      >
        Open
      </a>
    );
  const other = (lab.state === 'running' || lab.state === 'starting') && lab.kind !== asked.kind;
  const why = !lab.kinds.includes(asked.kind)
    ? `${NAMES[asked.kind]} is not installed`
    : other
      ? `${NAMES[lab.kind ?? 'jupyter']} runs: stop it first`
      : null;
  return (
    <button
      type="button"
      className="button s"
      aria-label={`Open ${title}`}
      title={why ?? undefined}
      disabled={why !== null || lab.state === 'refused' || lab.state === 'starting' || opening.isPending}
      onClick={() => opening.mutate(asked)}
    >
      Open
    </button>
  );
}
