import { number } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, ticksOf } from './scale';

const PAD = { left: 12, right: 52, top: 18, bottom: 22 };

/** A bar for each name, those below zero in the colour of a loss. */
export function Bars(props: { label: string; names: string[]; values: number[]; unit?: string }) {
  const { names, values, unit = '' } = props;
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const range = rangeOf([values, [0]]);
        if (!range || values.length === 0) return null;
        const each = (width - PAD.left - PAD.right) / values.length;
        const y = (value: number) =>
          height -
          PAD.bottom -
          ((value - range.low) / (range.high - range.low)) * (height - PAD.top - PAD.bottom);
        const ticks = ticksOf(range, Math.max(2, Math.floor(height / 44)));
        const places = placesOf((ticks[1] ?? 1) - (ticks[0] ?? 0));
        const every = Math.max(1, Math.ceil(44 / each));
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
            {values.map((value, i) => {
              const middle = PAD.left + (i + 0.5) * each;
              const wide = Math.min(56, Math.max(1, each * 0.66));
              return (
                <g key={names[i]}>
                  <title>{`${names[i]}: ${number(value, 2)}${unit}`}</title>
                  <rect
                    className={`bar ${value < 0 ? 'down' : 'up'}`}
                    x={middle - wide / 2}
                    width={wide}
                    y={Math.min(y(0), y(value))}
                    height={Math.max(1, Math.abs(y(value) - y(0)))}
                    rx={1}
                    opacity={0.75}
                  />
                  {i % every === 0 && (
                    <text x={middle} y={height - 7} textAnchor="middle">
                      {names[i]}
                    </text>
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
