import { CircleAlert, CircleCheck, Info, TriangleAlert } from 'lucide-react';
import type { Mark, Place } from '@/shared/editor/CodeEditor';
import { Scroll } from '@/shared/Scroll';
import { Words } from '@/shared/Words';

const ICON = {
  error: <CircleAlert size={14} className="state-error" aria-label="error" />,
  warning: <TriangleAlert size={14} className="state-stale" aria-label="warning" />,
  hint: <Info size={14} className="tertiary" aria-label="hint" />,
};

/** What is wrong, and where; each goes to its place. */
export function ProblemList(props: { marks: Mark[]; stale: boolean; go(place: Place): void }) {
  const { marks, stale, go } = props;
  if (marks.length === 0) {
    return (
      <div className="empty">
        <CircleCheck size={18} className={stale ? 'tertiary' : 'state-live'} aria-hidden />
        <p>
          {stale ? 'Reading …' : 'No problems. Look-ahead shows only when it runs: that is what Check does.'}
        </p>
      </div>
    );
  }
  return (
    <Scroll label="Problems" className={`ide-problems ${stale ? 'stale' : ''}`}>
      <ul>
        {marks.map((mark) => (
          <li key={`${mark.code} ${mark.line} ${mark.column} ${mark.message}`}>
            <button type="button" onClick={() => go({ line: mark.line, column: mark.column })}>
              {ICON[mark.severity]}
              <span className="ide-problem">
                <Words text={mark.message} />
              </span>
              <span className="mono micro tertiary">{mark.code}</span>
              <span className="mono micro secondary">
                {mark.line}:{mark.column}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Scroll>
  );
}
