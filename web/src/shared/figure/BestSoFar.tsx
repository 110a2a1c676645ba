import { number } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, ticksOf } from './scale';

const PAD = { left: 12, right: 44, top: 12, bottom: 22 };

/** Each trial's score, and the best of those before it. */
export function BestSoFar(props: { label: string; scores: (number | null)[] }) {
  const { scores } = props;
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const range = rangeOf([scores]);
        if (!range) return null;
        const x = (i: number) =>
          PAD.left + (i / Math.max(1, scores.length - 1)) * (width - PAD.left - PAD.right);
        const y = (value: number) =>
          height -
          PAD.bottom -
          ((value - range.low) / (range.high - range.low)) * (height - PAD.top - PAD.bottom);
        let best = Number.NEGATIVE_INFINITY;
        let line = '';
        scores.forEach((score, i) => {
          if (score === null) return;
          if (line) line += `L${x(i).toFixed(1)} ${y(best).toFixed(1)}`;
          best = Math.max(best, score);
          line += `${line ? 'L' : 'M'}${x(i).toFixed(1)} ${y(best).toFixed(1)}`;
        });
        if (line) line += `L${x(scores.length - 1).toFixed(1)} ${y(best).toFixed(1)}`;
        const ticks = ticksOf(range, Math.max(2, Math.floor(height / 44)));
        const trials = ticksOf({ low: 1, high: scores.length }, Math.max(2, Math.floor(width / 90)));
        return (
          <>
            {ticks.map((value) => (
              <g key={value}>
                <line className="grid" x1={PAD.left} x2={width - PAD.right} y1={y(value)} y2={y(value)} />
                <text x={width - PAD.right + 6} y={y(value) + 4}>
                  {number(value, placesOf((ticks[1] ?? 1) - (ticks[0] ?? 0)))}
                </text>
              </g>
            ))}
            {scores.map((score, i) =>
              score === null ? null : (
                // biome-ignore lint/suspicious/noArrayIndexKey: a trial's number is its place
                <circle key={i} cx={x(i)} cy={y(score)} r={1.8} fill="var(--text-tertiary)" opacity={0.6} />
              ),
            )}
            <path d={line} fill="none" stroke="var(--accent-text)" strokeWidth={1.6} />
            {trials.map((trial) => (
              <text key={trial} x={x(trial - 1)} y={height - 7} textAnchor="middle">
                {number(trial)}
              </text>
            ))}
          </>
        );
      }}
    </Figure>
  );
}
