import { useMemo } from 'react';

/** A line without axes. Null breaks it: a time without a measurement is not drawn as zero. */
export function Sparkline(props: {
  values: (number | null)[];
  width: number;
  height: number;
  color: string;
  label: string;
}) {
  const { values, width, height, color, label } = props;
  const { line, area } = useMemo(() => paths(values, width, height), [values, width, height]);
  return (
    <svg width={width} height={height} role="img" aria-label={label} style={{ display: 'block' }}>
      <path d={area} fill={color} opacity={0.14} />
      <path d={line} fill="none" stroke={color} strokeWidth={1.25} strokeLinejoin="round" />
    </svg>
  );
}

function paths(values: (number | null)[], width: number, height: number): { line: string; area: string } {
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const x = (i: number) => ((i / Math.max(1, values.length - 1)) * width).toFixed(1);
  const y = (value: number) => (height - 1 - (value / most) * (height - 3)).toFixed(1);
  let line = '';
  let area = '';
  let open: number | null = null;
  values.forEach((value, i) => {
    if (value !== null) {
      if (open === null) {
        line += `M${x(i)} ${y(value)}`;
        area += `M${x(i)} ${height}L${x(i)} ${y(value)}`;
        open = i;
      } else {
        line += `L${x(i)} ${y(value)}`;
        area += `L${x(i)} ${y(value)}`;
      }
    }
    if (open !== null && (value === null || i === values.length - 1)) {
      area += `L${x(value === null ? i - 1 : i)} ${height}Z`;
      open = null;
    }
  });
  return { line, area };
}
