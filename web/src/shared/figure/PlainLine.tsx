import { number } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, ticksOf } from './scale';

const PAD = { left: 12, right: 52, top: 14, bottom: 36 };

/** A value over a number, as over the only parameter of a study. */
export function PlainLine(props: {
  label: string;
  xName: string;
  /** Ascending. */
  xs: number[];
  values: (number | null)[];
  best?: number | null;
  dots?: boolean;
}) {
  const { xs, values, best = null, dots = true } = props;
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const range = rangeOf([values]);
        const span = rangeOf([xs]);
        if (!range || !span) return null;
        const x = (value: number) =>
          PAD.left + ((value - span.low) / (span.high - span.low)) * (width - PAD.left - PAD.right);
        const y = (value: number) =>
          height -
          PAD.bottom -
          ((value - range.low) / (range.high - range.low)) * (height - PAD.top - PAD.bottom);
        const points = xs.flatMap((at, i) => {
          const value = values[i];
          return value == null ? [] : [{ at, value }];
        });
        const ticks = ticksOf(range, Math.max(2, Math.floor(height / 56)));
        const marks = ticksOf(span, Math.max(2, Math.floor(width / 80)));
        const places = placesOf((ticks[1] ?? 1) - (ticks[0] ?? 0));
        return (
          <>
            {ticks.map((value) => (
              <g key={value}>
                <line className="grid" x1={PAD.left} x2={width - PAD.right} y1={y(value)} y2={y(value)} />
                <text x={width - PAD.right + 6} y={y(value) + 4}>
                  {number(value, places)}
                </text>
              </g>
            ))}
            <path
              d={points
                .map(({ at, value }, i) => `${i ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)
                .join('')}
              fill="none"
              stroke="var(--accent-text)"
              strokeWidth={1.6}
            />
            {(dots ? points : []).map(({ at, value }) => (
              <circle
                key={at}
                cx={x(at)}
                cy={y(value)}
                r={at === best ? 4.5 : 2.6}
                fill={at === best ? 'var(--state-stale)' : 'var(--accent-text)'}
              >
                <title>{`${props.xName} ${at}: ${number(value, 2)}`}</title>
              </circle>
            ))}
            {marks.map((at) => (
              <text key={at} x={x(at)} y={height - 20} textAnchor="middle">
                {number(at, placesOf((marks[1] ?? 1) - (marks[0] ?? 0)))}
              </text>
            ))}
            <text x={(PAD.left + width - PAD.right) / 2} y={height - 5} textAnchor="middle">
              {props.xName}
            </text>
          </>
        );
      }}
    </Figure>
  );
}
