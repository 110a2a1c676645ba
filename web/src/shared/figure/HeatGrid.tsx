import { number } from '@/shared/format';
import { Figure } from './Figure';
import { rangeOf } from './scale';

const PAD = { left: 56, right: 12, top: 8, bottom: 38 };

export interface HeatGridProps {
  label: string;
  columns: string[];
  rows: string[];
  columnName: string;
  rowName: string;
  /** By row, then column, the first row at the bottom; null where nothing was tried. */
  values: (number | null)[][];
  /** Cells that hold together: first and last column, first and last row, all included. */
  zone?: [number, number, number, number] | null;
  /** Column and row of a cell that stands alone. */
  alone?: [number, number] | null;
  pick?: (column: number, row: number) => void;
}

/** Values of two parameters: the better, the more of the accent; below zero the colour of a loss. */
export function HeatGrid(props: HeatGridProps) {
  const { columns, rows, values, zone, alone, pick } = props;
  return (
    <Figure label={props.label}>
      {(width, height) => {
        const range = rangeOf(values);
        if (!range || columns.length === 0 || rows.length === 0) return null;
        const wide = (width - PAD.left - PAD.right) / columns.length;
        const tall = (height - PAD.top - PAD.bottom) / rows.length;
        const x = (column: number) => PAD.left + column * wide;
        const y = (row: number) => PAD.top + (rows.length - 1 - row) * tall;
        const words = wide > 34 && tall > 14;
        const every = Math.max(1, Math.ceil(34 / wide));
        const everyRow = Math.max(1, Math.ceil(16 / tall));
        return (
          <>
            {rows.map((name, row) =>
              columns.map((column, i) => {
                const value = values[row]?.[i] ?? null;
                if (value === null) return null;
                const share =
                  value < 0
                    ? Math.min(0.6, value / Math.min(range.low, -1e-9))
                    : value / Math.max(range.high, 1e-9);
                const text = `${props.columnName} ${column}, ${props.rowName} ${name}: ${number(value, 2)}`;
                const cell = (
                  <>
                    <title>{text}</title>
                    <rect
                      x={x(i) + 1}
                      y={y(row) + 1}
                      width={Math.max(1, wide - 2)}
                      height={Math.max(1, tall - 2)}
                      rx={2}
                      fill="var(--bg-raised)"
                    />
                    <rect
                      x={x(i) + 1}
                      y={y(row) + 1}
                      width={Math.max(1, wide - 2)}
                      height={Math.max(1, tall - 2)}
                      rx={2}
                      fill={value < 0 ? 'var(--down)' : 'var(--accent-text)'}
                      opacity={0.08 + 0.8 * share ** 1.3}
                    />
                    {words && (
                      <text
                        className="value"
                        x={x(i) + wide / 2}
                        y={y(row) + tall / 2 + 4}
                        textAnchor="middle"
                        style={value >= 0 && share > 0.7 ? { fill: 'var(--bg-app)' } : {}}
                      >
                        {number(value, 2)}
                      </text>
                    )}
                  </>
                );
                return pick ? (
                  // biome-ignore lint/a11y/useSemanticElements: a cell of a drawing cannot be a button element
                  <g
                    key={`${column} ${name}`}
                    role="button"
                    tabIndex={0}
                    aria-label={text}
                    onClick={() => pick(i, row)}
                    onKeyDown={(event) => event.key === 'Enter' && pick(i, row)}
                  >
                    {cell}
                  </g>
                ) : (
                  <g key={`${column} ${name}`}>{cell}</g>
                );
              }),
            )}
            {zone && (
              <rect
                className="cell-outline"
                x={x(zone[0])}
                y={y(zone[3])}
                width={(zone[1] - zone[0] + 1) * wide}
                height={(zone[3] - zone[2] + 1) * tall}
                rx={3}
              />
            )}
            {alone && (
              <rect
                className="cell-outline alone"
                x={x(alone[0])}
                y={y(alone[1])}
                width={wide}
                height={tall}
                rx={3}
              />
            )}
            {columns.map(
              (name, i) =>
                i % every === 0 && (
                  <text key={name} x={x(i) + wide / 2} y={height - 22} textAnchor="middle">
                    {name}
                  </text>
                ),
            )}
            {rows.map(
              (name, row) =>
                row % everyRow === 0 && (
                  <text key={name} x={PAD.left - 8} y={y(row) + tall / 2 + 4} textAnchor="end">
                    {name}
                  </text>
                ),
            )}
            <text x={PAD.left + (width - PAD.left - PAD.right) / 2} y={height - 6} textAnchor="middle">
              {props.columnName}
            </text>
            <text
              transform={`translate(12 ${PAD.top + (height - PAD.top - PAD.bottom) / 2}) rotate(-90)`}
              textAnchor="middle"
            >
              {props.rowName}
            </text>
          </>
        );
      }}
    </Figure>
  );
}
