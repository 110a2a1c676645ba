import { count, number } from '@/shared/format';
import { barPaths, type Day, median } from './dataset';

const WIDE = 900;
const TALL = 110;

/** Rows of each day, with the median of those that have some. */
export function DayBars({ days }: { days: Day[] }) {
  if (days.length === 0) return <p className="panel-body secondary">It has no rows in these days.</p>;
  if (days.some(({ rows }) => rows === null))
    return <p className="panel-body secondary">The store does not tell rows by day.</p>;
  const rows = days.map(({ rows }) => rows ?? 0);
  const most = Math.max(1, ...rows);
  const usual = median(rows.filter((one) => one > 0)) ?? 0;
  const paths = barPaths(
    rows,
    days.map(({ completeness }) => completeness),
    WIDE,
    TALL,
    Math.max(30, days.length),
  );
  const y = TALL - (usual / most) * TALL;
  return (
    <figure className="day-bars">
      <figcaption className="row micro tertiary">
        <span>{days[0]?.date}</span>
        <span className="space" />
        <span>
          most {count(most)} · median {count(usual)}
        </span>
        <span className="space" />
        <span>{days.at(-1)?.date}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDE} ${TALL}`}
        preserveAspectRatio="none"
        width="100%"
        height={TALL}
        role="img"
        aria-label={`Rows of ${days.length} days: ${number(most)} at most, ${number(usual)} in the median`}
      >
        <path d={paths.whole} fill="var(--accent-solid)" />
        <path d={paths.lacking} fill="var(--state-gap)" />
        <path d={paths.empty} fill="var(--line-default)" />
        <line
          x1={0}
          x2={WIDE}
          y1={y}
          y2={y}
          stroke="var(--text-secondary)"
          strokeDasharray="4 3"
          vectorEffect="non-scaling-stroke"
        />
      </svg>
    </figure>
  );
}
