import { number } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf } from './scale';

const PAD = { left: 40, right: 44, top: 28, bottom: 20 };
const MOST = 600;

/** Every trial as a line over its parameters and what came of it; the best of them stand out. */
export function ParallelLines(props: {
  label: string;
  names: string[];
  /** One list for each line, a value for each name; best first. */
  lines: number[][];
  best: number;
}) {
  const { names, best } = props;
  const lines = props.lines.slice(0, MOST);
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const ranges = names.map((_, k) => rangeOf([lines.map((line) => line[k] ?? null)]));
        const x = (k: number) =>
          PAD.left + (k / Math.max(1, names.length - 1)) * (width - PAD.left - PAD.right);
        const y = (k: number, value: number) => {
          const range = ranges[k];
          if (!range) return height / 2;
          return (
            height -
            PAD.bottom -
            ((value - range.low) / (range.high - range.low)) * (height - PAD.top - PAD.bottom)
          );
        };
        const path = (line: number[]) =>
          line.map((value, k) => `${k ? 'L' : 'M'}${x(k).toFixed(1)} ${y(k, value).toFixed(1)}`).join('');
        return (
          <>
            {lines.slice(best).map((line) => (
              <path
                key={line.join(' ')}
                d={path(line)}
                fill="none"
                stroke="var(--text-tertiary)"
                opacity={0.18}
              />
            ))}
            {lines.slice(0, best).map((line) => (
              <path
                key={line.join(' ')}
                d={path(line)}
                fill="none"
                stroke="var(--accent-text)"
                strokeWidth={1.6}
              />
            ))}
            {names.map((name, k) => {
              const range = ranges[k];
              const places = range ? Math.min(2, placesOf((range.high - range.low) / 10)) : 0;
              return (
                <g key={name}>
                  <line
                    x1={x(k)}
                    x2={x(k)}
                    y1={PAD.top}
                    y2={height - PAD.bottom}
                    stroke="var(--line-strong)"
                  />
                  <text x={x(k)} y={12} textAnchor="middle">
                    {name}
                  </text>
                  {range && (
                    <>
                      <text x={x(k) + 4} y={PAD.top + 4}>
                        {number(range.high, places)}
                      </text>
                      <text x={x(k) + 4} y={height - PAD.bottom + 2}>
                        {number(range.low, places)}
                      </text>
                    </>
                  )}
                </g>
              );
            })}
          </>
        );
      }}
    </Figure>
  );
}
