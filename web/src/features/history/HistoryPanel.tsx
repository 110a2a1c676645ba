import { ChartLine } from 'lucide-react';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { ApiError } from '@/api/client';
import type { ErrorBody, Instrument } from '@/api/types';
import { count, date, number, timeOfDayMs } from '@/shared/format';
import { ErrorState } from '@/shared/Panel';
import { useMetadata } from '@/shared/queries';
import { useSettings } from '@/shared/settings';
import { useLook } from '@/theme/ThemeProvider';
import { colors } from '@/theme/themes';
import { barAt, moved, type View, zoomed } from './columns';
import { grainText, isOf, type Shown } from './grain';
import './history.css';
import type { Answer, Asked } from './history-worker';
import { paint, plotWidth } from './paint';
import { wholeOf } from './whole';

/** How often the newest tiles are asked for again while they are on screen. */
const RENEW_MS = 5_000;
/** A finer level that takes longer than this is said to be on its way; a quicker one would only flicker. */
const PATIENCE_MS = 200;
const WHEEL = 1.0015;

/** Everything that is stored of an instrument, from all years at once down to single trades. */
export function HistoryPanel({ instrument }: { instrument: Instrument }) {
  const name = instrument.instrument;
  const { data: metadata, error, refetch } = useMetadata(name);
  const whole = metadata ? wholeOf(metadata.datasets, Date.now()) : undefined;
  if (error && !metadata)
    return (
      <Cover>
        <ErrorState what="History" error={error} retry={() => void refetch()} />
      </Cover>
    );
  if (whole === undefined) return <section className="chart-cover" aria-label="History" aria-busy />;
  if (whole === null)
    return (
      <section className="chart-cover" aria-label="History">
        <div className="empty">
          <ChartLine size={18} className="tertiary" aria-hidden />
          <div className="strong">Nothing stored yet</div>
          <p>The history of {name} begins here with its first stored trade.</p>
        </div>
      </section>
    );
  return <HistoryChart key={name} instrument={instrument} whole={whole} />;
}

function Cover({ children }: { children: React.ReactNode }) {
  return (
    <section className="chart-cover chart-error" aria-label="History">
      <section className="panel" aria-label="Error">
        {children}
      </section>
    </section>
  );
}

function HistoryChart({ instrument, whole }: { instrument: Instrument; whole: View }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const worker = useRef<Worker | null>(null);
  const limits = useRef(whole);
  limits.current = whole;
  const [view, setView] = useState<View>(whole);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [shown, setShown] = useState<Shown | null>(null);
  const [failure, setFailure] = useState<ErrorBody | null>(null);
  const [pointer, setPointer] = useState<number | null>(null);
  const late = useLate(shown !== null && isOf(shown, view));
  const look = useLook();
  const zone = useSettings((settings) => settings.zone);
  const name = instrument.instrument;

  useEffect(() => {
    const made = new Worker(new URL('./history-worker.ts', import.meta.url), { type: 'module' });
    worker.current = made;
    made.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.kind === 'error') {
        setFailure(bodyOf(data));
        return;
      }
      setFailure(null);
      setShown(data);
      performance.measure('history', { detail: data.level.text, start: performance.now() - data.took_ms });
    };
    return () => made.terminate();
  }, []);

  useLayoutEffect(() => {
    if (!box.current) return;
    const watching = new ResizeObserver(([entry]) => {
      if (entry) setSize({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    watching.observe(box.current);
    return () => watching.disconnect();
  }, []);

  const ask = useCallback(
    (fresh: boolean) => {
      if (size.width === 0) return;
      const asked: Asked = { instrument: name, view, pixels: plotWidth(size.width), fresh };
      worker.current?.postMessage(asked);
    },
    [name, view, size.width],
  );
  useEffect(() => ask(false), [ask]);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && ask(true), RENEW_MS);
    return () => clearInterval(timer);
  }, [ask]);

  useLayoutEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d');
    if (!element || !context || size.width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(size.width * ratio);
    element.height = Math.round(size.height * ratio);
    context.scale(ratio, ratio);
    paint(context, {
      view,
      columns: shown?.columns ?? null,
      of: shown?.view ?? view,
      ...size,
      zone,
      colors: colors(look.mode),
      pointer,
    });
  }, [view, shown, size, zone, look.mode, pointer]);

  // React listens to the wheel passively; a passive listener cannot keep the page from scrolling.
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onWheel = (event: WheelEvent) => {
      event.preventDefault();
      const place = (event.clientX - element.getBoundingClientRect().left) / plotWidth(element.clientWidth);
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        const by = (event.deltaX || event.deltaY) / element.clientWidth;
        setView((old) => moved(old, by, limits.current));
      } else {
        const factor = WHEEL ** event.deltaY;
        setView((old) => zoomed(old, factor, Math.min(1, Math.max(0, place)), limits.current));
      }
    };
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, []);

  const drag = useRef<number | null>(null);
  const key = (event: React.KeyboardEvent): void => {
    const step = event.shiftKey ? 1 : 0.1;
    if (event.altKey) return;
    if (event.key === 'ArrowLeft') setView((old) => moved(old, -step, whole));
    else if (event.key === 'ArrowRight') setView((old) => moved(old, step, whole));
    else if (event.key === 'ArrowUp' || event.key === '+') setView((old) => zoomed(old, 0.7, 0.5, whole));
    else if (event.key === 'ArrowDown' || event.key === '-') setView((old) => zoomed(old, 1.43, 0.5, whole));
    else if (event.key === 'Home') setView(whole);
    else return;
    event.preventDefault();
  };

  const at = pointer === null ? null : view.from + (pointer / plotWidth(size.width)) * (view.to - view.from);
  return (
    <section className="chart-cover" aria-label="History">
      <div className="legend">
        <div className="row legend-line">
          <span className="medium">{name}</span>
          <span className="tertiary" role="status">
            {grainText(shown, view, plotWidth(size.width), late && !failure)}
          </span>
          {shown && <span className="tertiary">{count(shown.columns.trades)} trades in view</span>}
          {shown && !shown.columns.complete && <span className="history-gap">with known gaps</span>}
        </div>
        <Reading
          shown={shown}
          pointer={pointer}
          view={view}
          at={at}
          zone={zone}
          plot={plotWidth(size.width)}
        />
        {failure && <div className="history-gap">{failure.message}</div>}
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms */}
      <div
        className="chart-box history-box"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the chart has a keyboard layer of its own
        tabIndex={0}
        role="group"
        aria-roledescription="chart"
        aria-label={`All stored prices of ${name}. Arrow keys move and zoom, Home shows everything.`}
        onKeyDown={key}
        onDoubleClick={() => setView(whole)}
        onPointerDown={(event) => {
          drag.current = event.clientX;
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerUp={() => {
          drag.current = null;
        }}
        onPointerMove={(event) => {
          setPointer(event.clientX - event.currentTarget.getBoundingClientRect().left);
          if (drag.current === null) return;
          const by = (drag.current - event.clientX) / plotWidth(size.width);
          drag.current = event.clientX;
          setView((old) => moved(old, by, whole));
        }}
        onPointerLeave={() => setPointer(null)}
      >
        <canvas ref={canvas} aria-hidden />
      </div>
    </section>
  );
}

/** Whether something has not been done for a while. */
function useLate(done: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (done) {
      setLate(false);
      return;
    }
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [done]);
  return late;
}

/** What the pixel under the pointer holds. */
function Reading(props: {
  shown: Shown | null;
  pointer: number | null;
  view: View;
  at: number | null;
  zone: string;
  plot: number;
}) {
  const { shown, pointer, view, at, zone, plot } = props;
  if (!shown || pointer === null || at === null || pointer >= plot) return <div className="legend-line" />;
  const { columns } = shown;
  const pixels = columns.first.length;
  const per_px = (shown.view.to - shown.view.from) / pixels;
  const column = barAt(columns, Math.floor((at - shown.view.from) / per_px), per_px);
  const first = columns.first[column];
  const when =
    view.to - view.from > 86_400_000
      ? `${date(at, zone)} ${timeOfDayMs(at, zone).slice(0, 5)}`
      : `${date(at, zone)} ${timeOfDayMs(at, zone)}`;
  const price = (value: number | undefined) => number(value, columns.priceScale);
  return (
    <div className="row legend-line mono">
      <span>{when}</span>
      {first === undefined || Number.isNaN(first) ? (
        <span className="tertiary">no trade</span>
      ) : (
        <span className="ohlc">
          <span className="tertiary">O</span>
          {price(first)}
          <span className="tertiary">H</span>
          {price(columns.high[column])}
          <span className="tertiary">L</span>
          {price(columns.low[column])}
          <span className="tertiary">C</span>
          {price(columns.last[column])}
          <span className="tertiary">Vol</span>
          {number(columns.volume[column], 2)}
        </span>
      )}
    </div>
  );
}

function bodyOf(answer: Extract<Answer, { kind: 'error' }>): ErrorBody {
  const { body } = answer;
  if (typeof body === 'object' && body !== null && 'message' in body) return body as ErrorBody;
  return new ApiError(answer.status, {
    code: 'service.unreachable',
    category: 'upstream',
    message: `The platform does not answer (${answer.message}).`,
    hint: 'What is shown may be old.',
    retryable: true,
    docs: 'docs/errors.md#upstream',
    request_id: null,
  }).body;
}
