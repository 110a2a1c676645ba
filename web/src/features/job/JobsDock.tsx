import { Drawer } from 'antd';
import { X } from 'lucide-react';
import { type KeyboardEvent, type PointerEvent, useEffect, useRef } from 'react';
import { useNarrow, usePhone } from '@/theme/ThemeProvider';
import { boundWidth, closeDock, useDock, WIDTH } from './dock';
import { EventMark } from './EventMark';
import { JobsPanel } from './JobsPanel';
import './job.css';

/** The list of jobs at the right of every page; where there is no room beside the page, a sheet over it. */
export function JobsDock() {
  return useNarrow() ? <Sheet /> : <Dock />;
}

const CloseButton = () => (
  <button type="button" className="icon-button" aria-label="Close jobs" title="Close" onClick={closeDock}>
    <X size={16} strokeWidth={1.75} aria-hidden />
  </button>
);

function Sheet() {
  const phone = usePhone();
  const width_px = useDock((dock) => dock.width_px);
  return (
    <Drawer
      open
      onClose={closeDock}
      placement={phone ? 'bottom' : 'right'}
      size={phone ? '82%' : width_px}
      closable={false}
      title="Jobs"
      extra={
        <span className="row">
          <EventMark />
          <CloseButton />
        </span>
      }
      rootClassName="jobs-sheet"
      styles={{
        section: { background: 'var(--bg-panel)' },
        header: { padding: phone ? '4px 4px 4px 14px' : '4px 8px 4px 12px' },
        body: { padding: 0, display: 'flex', flexDirection: 'column' },
      }}
    >
      <JobsPanel />
    </Drawer>
  );
}

function Dock() {
  const width_px = useDock((dock) => dock.width_px);
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    if (useDock.getState().entered) element.current?.focus();
  }, []);
  return (
    <aside
      ref={element}
      className="jobs-dock"
      aria-label="Jobs"
      tabIndex={-1}
      style={{ width: width_px }}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || event.defaultPrevented) return;
        event.preventDefault();
        closeDock();
      }}
    >
      <Edge width_px={width_px} />
      <header className="panel-head">
        <h2>Jobs</h2>
        <span className="space" />
        <EventMark />
        <CloseButton />
      </header>
      <JobsPanel />
    </aside>
  );
}

const KEY_STEP_PX = 16;

/** The edge that makes the dock wider: by pointer, or by the arrow keys. */
function Edge({ width_px }: { width_px: number }) {
  const set = (px: number) => useDock.setState({ width_px: boundWidth(px) });
  const move = (event: PointerEvent<HTMLElement>) => {
    if (event.currentTarget.hasPointerCapture(event.pointerId)) set(window.innerWidth - event.clientX);
  };
  const step = (event: KeyboardEvent) => {
    const wider = { ArrowLeft: KEY_STEP_PX, ArrowRight: -KEY_STEP_PX }[event.key];
    if (wider === undefined) return;
    event.preventDefault();
    set(width_px + wider);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a separator that moves is not a line in a text
    <div
      className="jobs-edge"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the jobs dock"
      aria-valuenow={width_px}
      aria-valuemin={WIDTH.least}
      aria-valuemax={WIDTH.most}
      tabIndex={0}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={move}
      onKeyDown={step}
      onDoubleClick={() => set(WIDTH.first)}
    />
  );
}
