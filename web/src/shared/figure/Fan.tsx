import { number, zoneFormat } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, ticksOf } from './scale';

const PAD = { left: 12, right: 52, top: 12, bottom: 22 };

/** What nine of ten paths stay within, the one in the middle, and the one that was. */
export function Fan(props: {
  label: string;
  times: number[];
  low: number[];
  middle: number[];
  high: number[];
  own: number[];
  zone: string;
}) {
  const { times, low, middle, high, own } = props;
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const range = rangeOf([low, high, own]);
        const span = rangeOf([times]);
        if (!range || !span) return null;
        const x = (i: number) =>
          PAD.left + (((times[i] ?? 0) - span.low) / (span.high - span.low)) * (width - PAD.left - PAD.right);
        const y = (value: number) =>
          height -
          PAD.bottom -
          ((value - range.low) / (range.high - range.low)) * (height - PAD.top - PAD.bottom);
        const points = (values: number[]) =>
          values.map((value, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`);
        const ticks = ticksOf(range, Math.max(2, Math.floor(height / 48)));
        const places = placesOf((ticks[1] ?? 1) - (ticks[0] ?? 0));
        const marks = ticksOf({ low: 0, high: times.length - 1 }, Math.max(2, Math.floor(width / 110)));
        const day = zoneFormat(props.zone, { day: 'numeric', month: 'short' });
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
            <path className="band" d={`M${points(high).join('L')}L${points(low).reverse().join('L')}Z`} />
            <path
              d={`M${points(middle).join('L')}`}
              fill="none"
              stroke="var(--chart-benchmark)"
              strokeDasharray="5 4"
              strokeWidth={1.3}
            />
            <path d={`M${points(own).join('L')}`} fill="none" stroke="var(--accent-text)" strokeWidth={1.6} />
            {marks.map((i) => (
              <text key={i} x={x(Math.round(i))} y={height - 7} textAnchor="middle">
                {day.format(times[Math.round(i)])}
              </text>
            ))}
          </>
        );
      }}
    </Figure>
  );
}
