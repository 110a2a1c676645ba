import { number } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, ticksOf } from './scale';

const PAD = { left: 12, right: 12, top: 18, bottom: 22 };

export interface Bin {
  low: number;
  high: number;
  count: number;
}

/** Values counted in about `count` bins of a round width, zero at an edge. */
export function binned(values: number[], count: number): Bin[] {
  const range = rangeOf([values]);
  if (!range) return [];
  const ticks = ticksOf(range, count);
  const step = ticks.length > 1 ? (ticks[1] ?? 1) - (ticks[0] ?? 0) : range.high - range.low;
  const first = Math.floor(range.low / step);
  const bins = Array.from({ length: Math.floor(range.high / step) - first + 1 }, (_, i) => ({
    low: (first + i) * step,
    high: (first + i + 1) * step,
    count: 0,
  }));
  for (const value of values) {
    const bin = bins[Math.floor(value / step) - first];
    if (bin) bin.count += 1;
  }
  return bins;
}

/** How often values of each size came, those below zero in the colour of a loss. */
export function Histogram(props: { label: string; values: number[] }) {
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const bins = binned(props.values, Math.max(4, Math.floor(width / 28)));
        const most = Math.max(1, ...bins.map(({ count }) => count));
        const first = bins[0];
        const last = bins.at(-1);
        if (!first || !last) return null;
        const each = (width - PAD.left - PAD.right) / bins.length;
        const x = (value: number) =>
          PAD.left + ((value - first.low) / (last.high - first.low)) * (width - PAD.left - PAD.right);
        const ticks = ticksOf({ low: first.low, high: last.high }, Math.max(2, Math.floor(width / 90)));
        return (
          <>
            {bins.map(({ low, count }, i) => {
              const tall = (count / most) * (height - PAD.top - PAD.bottom);
              return (
                <g key={low}>
                  <rect
                    x={PAD.left + i * each + 1}
                    width={Math.max(1, each - 2)}
                    y={height - PAD.bottom - tall}
                    height={tall}
                    rx={1}
                    fill={low < 0 ? 'var(--down)' : 'var(--up)'}
                    opacity={0.75}
                  />
                  {count > 0 && each > 16 && (
                    <text
                      x={PAD.left + (i + 0.5) * each}
                      y={height - PAD.bottom - tall - 5}
                      textAnchor="middle"
                    >
                      {count}
                    </text>
                  )}
                </g>
              );
            })}
            <line
              className="grid"
              x1={PAD.left}
              x2={width - PAD.right}
              y1={height - PAD.bottom}
              y2={height - PAD.bottom}
            />
            {ticks.map((value) => (
              <text key={value} x={x(value)} y={height - 7} textAnchor="middle">
                {number(value, placesOf((ticks[1] ?? 1) - (ticks[0] ?? 0)))}
              </text>
            ))}
          </>
        );
      }}
    </Figure>
  );
}
