import { type KeyboardEvent, useId, useMemo, useState } from 'react';
import { type Day, dayText, kindOf, shades, weekday } from './dataset';

const CELL = 14.5;
const GAP = 2.5;
const LEFT = 34;
const TOP = 20;
const NAMES = ['Mon', '', 'Wed', '', 'Fri', '', 'Sun'];
const MONTH = new Intl.DateTimeFormat('en-GB', { month: 'short', timeZone: 'UTC' });

/** A year as weeks side by side. Arrow keys walk through its days, and what is known of one stands below. */
export function Calendar({ days }: { days: Day[] }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const said = useId();
  const bounds = useMemo(() => shades(days), [days]);
  const shift = weekday(days[0]?.date ?? '1970-01-05');
  const weeks = Math.ceil((days.length + shift) / 7);
  const at = chosen ?? days.length - 1;
  const day = days[at];
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1, ArrowDown: 1, Home: -1e6, End: 1e6 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setChosen(Math.min(days.length - 1, Math.max(0, at + step)));
  };
  const place = (i: number) => {
    const slot = i + shift;
    return { x: LEFT + Math.floor(slot / 7) * (CELL + GAP), y: TOP + (slot % 7) * (CELL + GAP) };
  };
  return (
    <>
      <section
        className="scroll calendar"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys choose a day of it
        tabIndex={0}
        aria-label="Days"
        aria-describedby={said}
        onKeyDown={onKeyDown}
      >
        <svg width={LEFT + weeks * (CELL + GAP)} height={TOP + 7 * (CELL + GAP)} aria-hidden>
          {NAMES.map(
            (name, i) =>
              name && (
                <text key={name} x={4} y={TOP + i * (CELL + GAP) + 11} className="calendar-word">
                  {name}
                </text>
              ),
          )}
          {months(days, shift).map(({ name, week }) => (
            <text key={`${name}${week}`} x={LEFT + week * (CELL + GAP)} y={12} className="calendar-word">
              {name}
            </text>
          ))}
          {days.map((one, i) => {
            const { x, y } = place(i);
            const kind = kindOf(one, bounds);
            return (
              <g key={one.date} onPointerEnter={() => setChosen(i)}>
                <rect
                  x={x + 0.5}
                  y={y + 0.5}
                  width={CELL - 1}
                  height={CELL - 1}
                  rx={2}
                  className={`day-${kind}`}
                />
                {(kind === 'lacking' || kind === 'missing') && (
                  <text x={x + CELL / 2} y={y + 11.5} textAnchor="middle" className="day-mark">
                    !
                  </text>
                )}
              </g>
            );
          })}
          {day && (
            <rect
              x={place(at).x - 1}
              y={place(at).y - 1}
              width={CELL + 2}
              height={CELL + 2}
              rx={3}
              className="day-chosen"
            />
          )}
        </svg>
      </section>
      <div className="calendar-foot micro">
        <span className="row" style={{ gap: 4 }}>
          fewer
          {[0, 1, 2, 3].map((shade) => (
            <i key={shade} className={`swatch day-${shade}`} aria-hidden />
          ))}
          more
        </span>
        <span className="row" style={{ gap: 4 }}>
          <i className="swatch day-lacking" aria-hidden />
          something is missing
        </span>
        <span className="row" style={{ gap: 4 }}>
          <i className="swatch day-shut" aria-hidden />
          market shut
        </span>
        <span className="space" />
        <span id={said} className="secondary" aria-live="polite">
          {day && dayText(day)}
        </span>
      </div>
    </>
  );
}

/** Where months begin, by week; none so near that their names would touch. */
function months(days: readonly Day[], shift: number): { name: string; week: number }[] {
  const found: { name: string; week: number }[] = [];
  days.forEach(({ date }, i) => {
    const week = Math.floor((i + shift) / 7);
    const before = days[i - 1]?.date.slice(0, 7);
    if (before === date.slice(0, 7)) return;
    const last = found.at(-1);
    if (last && week - last.week < 3) {
      if (i < 15) found.pop();
      else return;
    }
    const year = date.slice(5, 7) === '01' ? ` ${date.slice(0, 4)}` : '';
    found.push({ name: MONTH.format(Date.parse(date)) + year, week });
  });
  return found;
}
