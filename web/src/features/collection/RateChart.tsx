import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { CollectorStatus } from '@/api/types';
import { number, timeOfDay } from '@/shared/format';
import { useSettings } from '@/shared/settings';
import { sparkValues } from './collection';

const PAD = { left: 10, right: 48, top: 12, bottom: 22 };
const STEP_S = 5;
const FILLS = ['accent-solid', 'chart-ma2', 'state-repaired', 'chart-benchmark', 'text-tertiary'];
const OPACITY = [0.55, 0.3, 0.24, 0.3, 0.2];

/** Messages per second of all venues, one upon the other. */
export function RateChart({ collectors, now_ms }: { collectors: CollectorStatus[]; now_ms: number }) {
  const box = useRef<HTMLDivElement>(null);
  const [[width, height], setSize] = useState([0, 0]);
  const zone = useSettings((settings) => settings.zone);
  useLayoutEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setSize([Math.floor(entry.contentRect.width), Math.floor(entry.contentRect.height)]);
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const layers = useMemo(() => stack(collectors, now_ms), [collectors, now_ms]);
  const first = useMemo(() => firstKnown(collectors, now_ms), [collectors, now_ms]);
  const most = Math.max(1, ...(layers.at(-1)?.top ?? []));
  const ticks = niceTicks(most);
  const places = 300 / STEP_S;
  const x = (i: number) => PAD.left + (i / (places - 1)) * (width - PAD.left - PAD.right);
  const y = (value: number) =>
    height - PAD.bottom - (value / (most * 1.12)) * (height - PAD.top - PAD.bottom);
  const points = (values: number[]) =>
    values.slice(first).map((value, i) => `${x(first + i).toFixed(1)},${y(value).toFixed(1)}`);
  const place = (at: number) => 1 - (now_ms - at) / 300_000;
  const minutes = [0, 1, 2, 3, 4].map((i) => Math.floor(now_ms / 60_000 - i) * 60_000);
  return (
    <div className="rate-chart" ref={box}>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label="Messages per second, five minutes, by venue"
        >
          {ticks.map((value) => (
            <g key={value}>
              <line
                x1={PAD.left}
                x2={width - PAD.right}
                y1={y(value)}
                y2={y(value)}
                stroke="var(--chart-grid)"
              />
              <text x={width - PAD.right + 6} y={y(value) + 3.8} fontSize={11} fill="var(--text-tertiary)">
                {number(value)}
              </text>
            </g>
          ))}
          {layers.map((layer, k) => {
            const top = points(layer.top);
            const base = points(layer.base).reverse();
            const color = `var(--${FILLS[k % FILLS.length]})`;
            const middle = first + Math.floor((places - first) * 0.06);
            const room = y(layer.base[middle] ?? 0) - y(layer.top[middle] ?? 0);
            return (
              <g key={layer.venue}>
                <polygon
                  points={[...top, ...base].join(' ')}
                  fill={color}
                  opacity={OPACITY[k % OPACITY.length]}
                />
                <polyline points={top.join(' ')} fill="none" stroke={color} />
                {room > 15 && places - first > 18 && (
                  <text
                    x={x(middle)}
                    y={(y(layer.base[middle] ?? 0) + y(layer.top[middle] ?? 0)) / 2 + 4}
                    fontSize={11}
                    fontWeight={500}
                    fill="var(--text-primary)"
                  >
                    {layer.venue}
                  </text>
                )}
              </g>
            );
          })}
          {minutes
            .filter((at) => place(at) > 0.04)
            .map((at) => (
              <text
                key={at}
                x={PAD.left + place(at) * (width - PAD.left - PAD.right)}
                y={height - 7}
                fontSize={11}
                textAnchor="middle"
                fill="var(--text-tertiary)"
              >
                {timeOfDay(at, zone).slice(0, 5)}
              </text>
            ))}
        </svg>
      )}
    </div>
  );
}

interface Layer {
  venue: string;
  base: number[];
  top: number[];
}

/** Places before the first measurement are left out: they are unknown, not zero. */
function firstKnown(collectors: CollectorStatus[], now_ms: number): number {
  const firsts = collectors
    .map(({ history }) => sparkValues(history, now_ms, STEP_S).findIndex((value) => value !== null))
    .filter((index) => index >= 0);
  return firsts.length > 0 ? Math.min(...firsts) : 300 / STEP_S;
}

function stack(collectors: CollectorStatus[], now_ms: number): Layer[] {
  let base = Array.from({ length: 300 / STEP_S }, () => 0);
  return collectors.map((collector) => {
    const values = sparkValues(collector.history, now_ms, STEP_S);
    const own = base;
    const top = own.map((value, i) => value + (values[i] ?? 0));
    base = top;
    return { venue: collector.venue, base: own, top };
  });
}

function niceTicks(most: number): number[] {
  const rough = most / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}
