import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { CollectorStatus } from '@/api/types';
import { number, timeOfDay } from '@/shared/format';
import { useSettings } from '@/shared/settings';
import { niceTicks, PLACES, stack } from './rate';

const PAD = { left: 10, right: 48, top: 12, bottom: 22 };
/** Room a venue's name needs, in places and in px. */
const NAME_PLACES = 18;
const NAME_PX = 15;
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
  const { layers, runs } = useMemo(() => stack(collectors, now_ms), [collectors, now_ms]);
  const most = Math.max(1, ...(layers.at(-1)?.top ?? []));
  const ticks = niceTicks(most);
  const x = (i: number) => PAD.left + (i / (PLACES - 1)) * (width - PAD.left - PAD.right);
  const y = (value: number) =>
    height - PAD.bottom - (value / (most * 1.12)) * (height - PAD.top - PAD.bottom);
  const points = (values: number[], from: number, to: number) =>
    values.slice(from, to + 1).map((value, i) => `${x(from + i).toFixed(1)},${y(value).toFixed(1)}`);
  const longest = runs.reduce((a, b) => (b[1] - b[0] > a[1] - a[0] ? b : a), [0, -1]);
  const named = longest[0] + Math.floor((longest[1] - longest[0]) * 0.06);
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
            const color = `var(--${FILLS[k % FILLS.length]})`;
            const room = y(layer.base[named] ?? 0) - y(layer.top[named] ?? 0);
            return (
              <g key={layer.venue}>
                {runs.map(([from, to]) => {
                  const top = points(layer.top, from, to);
                  return (
                    <g key={from}>
                      <polygon
                        points={[...top, ...points(layer.base, from, to).reverse()].join(' ')}
                        fill={color}
                        opacity={OPACITY[k % OPACITY.length]}
                      />
                      <polyline points={top.join(' ')} fill="none" stroke={color} />
                    </g>
                  );
                })}
                {room > NAME_PX && longest[1] - longest[0] > NAME_PLACES && (
                  <text
                    className="rate-name"
                    x={x(named)}
                    y={(y(layer.base[named] ?? 0) + y(layer.top[named] ?? 0)) / 2 + 4}
                    fontSize={11}
                    fontWeight={500}
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
