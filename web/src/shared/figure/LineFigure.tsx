import { useState } from 'react';
import { number, zoneFormat } from '@/shared/format';
import { Figure } from './Figure';
import { placesOf, rangeOf, thinned, ticksOf, timeTicks } from './scale';

export interface Line {
  name: string;
  /** One for each time; null where there is none. */
  values: (number | null)[];
  color: string;
  dash?: string;
  /** Filled down to this value. */
  base?: number;
  /** Its last value is written on the axis. */
  tagged?: boolean;
}

/** A thing that happened: a triangle that points up or down at its value. */
export interface Mark {
  ms: number;
  value: number;
  up: boolean;
  text: string;
}

const PAD = { left: 12, right: 64, top: 12 };
const TIME_PX = 22;
const ROUND = 1e-9;

/** Lines over time, with the values under the pointer in words. */
export function LineFigure(props: {
  label: string;
  /** Ascending, in ms. */
  times: number[];
  lines: Line[];
  zone: string;
  log?: boolean;
  /** Decimal places of the values in words; of the axis as its steps need. */
  places?: number;
  unit?: string;
  axis?: boolean;
  /** Range of the values besides what is in them. */
  include?: number[];
  marks?: Mark[];
  /** A stretch that stands out, in ms. */
  span?: [number, number] | null;
}) {
  const { times, lines, zone, log = false, places = 2, unit = '', axis = true, include = [] } = props;
  const { marks = [], span: lit = null } = props;
  const [under, setUnder] = useState<number | null>(null);
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const bottom = axis ? TIME_PX : 8;
        const shown = thinned(times.length, Math.max(2, width * 2));
        const found = rangeOf([
          ...lines.map(({ values }) => values),
          include,
          marks.map(({ value }) => value),
        ]);
        const span = rangeOf([times]);
        if (!found || !span) return null;
        const logarithmic = log && found.low > 0;
        const place = (value: number) => (logarithmic ? Math.log(value) : value);
        const low = place(found.low);
        const high = place(found.high);
        const x = (ms: number) =>
          PAD.left + ((ms - span.low) / (span.high - span.low)) * (width - PAD.left - PAD.right);
        const y = (value: number) =>
          height - bottom - ((place(value) - low) / (high - low)) * (height - PAD.top - bottom);
        const ticks = ticksOf(found, Math.max(2, Math.floor(height / 56)));
        const step = (ticks[1] ?? 1) - (ticks[0] ?? 0);
        const times_ = timeTicks(span, Math.max(2, Math.floor(width / 110)));
        const words = timeWords(times_.unit, zone);
        const at = under === null ? null : Math.min(under, times.length - 1);
        return (
          <g
            onPointerMove={(event) => {
              const box = event.currentTarget.ownerSVGElement?.getBoundingClientRect();
              if (box) setUnder(nearest(times, unplace(event.clientX - box.left, span, width)));
            }}
            onPointerLeave={() => setUnder(null)}
          >
            <rect width={width} height={height} fill="transparent" />
            {ticks.map((value) => (
              <g key={value}>
                <line className="grid" x1={PAD.left} x2={width - PAD.right} y1={y(value)} y2={y(value)} />
                <text x={width - PAD.right + 6} y={y(value) + 4}>
                  {number(value, placesOf(step))}
                </text>
              </g>
            ))}
            {axis &&
              times_.at.map((ms) => (
                <text key={ms} x={x(ms)} y={height - 7} textAnchor="middle">
                  {words(ms)}
                </text>
              ))}
            {lit && (
              <rect
                className="span"
                x={x(Math.max(span.low, lit[0]))}
                width={Math.max(2, x(Math.min(span.high, lit[1])) - x(Math.max(span.low, lit[0])))}
                y={PAD.top}
                height={height - bottom - PAD.top}
              />
            )}
            {lines.map((line) => (
              <LinePath
                key={line.name}
                line={line}
                points={shown.map((i) => {
                  const value = line.values[i];
                  const ms = times[i];
                  return value == null || ms === undefined ? null : [x(ms), y(value)];
                })}
                floor={
                  line.base === undefined ? null : y(Math.min(found.high, Math.max(found.low, line.base)))
                }
              />
            ))}
            {marks
              .filter(({ ms }) => ms >= span.low && ms <= span.high)
              .map(({ ms, value, up, text }, i) => (
                <path
                  // biome-ignore lint/suspicious/noArrayIndexKey: several may happen at one time and price
                  key={i}
                  className={up ? 'mark up' : 'mark down'}
                  d={up ? 'M0 2l5 8h-10z' : 'M0 -2l5 -8h-10z'}
                  transform={`translate(${x(ms).toFixed(1)} ${y(value).toFixed(1)})`}
                >
                  <title>{text}</title>
                </path>
              ))}
            {lines.map(
              (line) =>
                line.tagged && <Tag key={line.name} line={line} y={y} width={width} places={places} />,
            )}
            {at !== null && times[at] !== undefined && (
              <Under
                x={x(times[at])}
                width={width}
                height={height - bottom}
                when={zoneFormat(zone, DATE_TIME).format(times[at])}
                values={lines.map(({ name, values, color }) => ({
                  name,
                  color,
                  text: `${number(values[at], places)}${unit}`,
                  y: values[at] == null ? null : y(values[at]),
                }))}
              />
            )}
          </g>
        );
      }}
    </Figure>
  );
}

const DATE_TIME: Intl.DateTimeFormatOptions = {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
};

function timeWords(unit: 'time' | 'day' | 'month' | 'year', zone: string): (ms: number) => string {
  if (unit === 'time') return (ms) => zoneFormat(zone, { hour: '2-digit', minute: '2-digit' }).format(ms);
  // Marks of days and longer are UTC's, whatever the zone: a bar's day is.
  const options: Intl.DateTimeFormatOptions =
    unit === 'day'
      ? { day: 'numeric', month: 'short' }
      : unit === 'month'
        ? { month: 'short' }
        : { year: 'numeric' };
  return (ms) =>
    unit === 'month' && new Date(ms).getUTCMonth() === 0
      ? String(new Date(ms).getUTCFullYear())
      : zoneFormat('UTC', options).format(ms);
}

const unplace = (px: number, span: { low: number; high: number }, width: number): number =>
  span.low + ((px - PAD.left) / (width - PAD.left - PAD.right)) * (span.high - span.low);

/** The index of the time that lies nearest, in an ascending list. */
export function nearest(times: number[], ms: number): number {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < ms) low = middle + 1;
    else high = middle;
  }
  const before = times[low - 1];
  return before !== undefined && ms - before < (times[low] ?? 0) - ms ? low - 1 : low;
}

function LinePath(props: { line: Line; points: ([number, number] | null)[]; floor: number | null }) {
  const { line, points, floor } = props;
  const runs: [number, number][][] = [];
  let open: [number, number][] | null = null;
  for (const point of points) {
    if (point === null) open = null;
    else if (open) open.push(point);
    else {
      open = [point];
      runs.push(open);
    }
  }
  const path = (run: [number, number][]) => run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');
  return (
    <>
      {floor !== null &&
        runs.map((run) => (
          <path
            key={run[0]?.[0]}
            d={`M${run[0]?.[0].toFixed(1)} ${floor.toFixed(1)}L${path(run)}L${run.at(-1)?.[0].toFixed(1)} ${floor.toFixed(1)}Z`}
            fill={line.color}
            opacity={0.14}
          />
        ))}
      <path
        d={runs.map((run) => `M${path(run)}`).join('')}
        fill="none"
        stroke={line.color}
        strokeWidth={line.dash ? 1.3 : 1.6}
        strokeLinejoin="round"
        {...(line.dash ? { strokeDasharray: line.dash } : {})}
      />
    </>
  );
}

function Tag(props: { line: Line; y: (value: number) => number; width: number; places: number }) {
  const last = props.line.values.findLast((value) => value !== null);
  if (last == null) return null;
  const middle = props.y(last);
  return (
    <g>
      <rect
        x={props.width - PAD.right + 2}
        y={middle - 8}
        width={PAD.right - 4}
        height={16}
        rx={2}
        fill={props.line.color}
      />
      <text className="tag" x={props.width - PAD.right + 6} y={middle + 4}>
        {number(last, Math.abs(last) >= 1000 - ROUND ? 0 : props.places)}
      </text>
    </g>
  );
}

function Under(props: {
  x: number;
  width: number;
  height: number;
  when: string;
  values: { name: string; color: string; text: string; y: number | null }[];
}) {
  const { x, width, height, values } = props;
  const room = 200;
  const left = x + room + 12 > width ? x - room - 8 : x + 8;
  return (
    <g pointerEvents="none">
      <line
        x1={x}
        x2={x}
        y1={0}
        y2={height}
        stroke="var(--chart-crosshair, var(--line-strong))"
        strokeDasharray="3 3"
      />
      {values.map(
        ({ name, y, color }) => y !== null && <circle key={name} cx={x} cy={y} r={3} fill={color} />,
      )}
      <rect
        x={left}
        y={8}
        width={room}
        height={22 + values.length * 16}
        rx={4}
        fill="var(--bg-overlay)"
        stroke="var(--line-default)"
      />
      <text x={left + 8} y={24}>
        {props.when}
      </text>
      {values.map(({ name, text, color }, i) => (
        <g key={name}>
          <circle cx={left + 12} cy={36 + i * 16} r={3} fill={color} />
          <text x={left + 20} y={40 + i * 16}>
            {name}
          </text>
          <text className="value" x={left + room - 8} y={40 + i * 16} textAnchor="end">
            {text}
          </text>
        </g>
      ))}
    </g>
  );
}
