import { Dropdown } from 'antd';
import { Camera, ChartSpline, CodeXml, RotateCcw, Search, Table2 } from 'lucide-react';
import type { Instrument } from '@/api/types';
import { runCommand } from '@/shared/command';
import { INTERVALS, type Interval } from '@/shared/interval';
import { pairOf } from '@/shared/market';

/** Everything here is a command, so keys and the palette do the same. */
export function Toolbar(props: {
  instrument: Instrument;
  interval: Interval;
  table: boolean;
  /** Everything that is stored is shown, not bars of the interval. */
  all: boolean;
  pickInstrument(): void;
  pickInterval(interval: Interval): void;
}) {
  const { instrument, interval, table, all, pickInstrument, pickInterval } = props;
  return (
    <div className="toolbar" role="toolbar" aria-label="Chart">
      <button
        type="button"
        className="picker"
        onClick={pickInstrument}
        aria-label={`Instrument ${instrument.instrument}. Change`}
      >
        <Search size={14} strokeWidth={1.75} className="tertiary" aria-hidden />
        <span className="medium">{pairOf(instrument)}</span>
        <span className="tertiary">{instrument.venue}</span>
      </button>
      {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
      <div className="segments" role="group" aria-label="Interval">
        {INTERVALS.map((value) => (
          <button
            key={value}
            type="button"
            aria-pressed={!all && value === interval}
            onClick={() => pickInterval(value)}
          >
            {value}
          </button>
        ))}
        <AllButton all={all} />
      </div>
      <button
        type="button"
        className="button quiet"
        disabled={all}
        title="Add an indicator (/)"
        onClick={() => runCommand('chart.indicator')}
      >
        <ChartSpline size={16} strokeWidth={1.75} aria-hidden />
        Indicators
      </button>
      <span className="space" />
      <button
        type="button"
        className="button quiet"
        aria-pressed={table}
        disabled={all}
        onClick={() => runCommand('chart.table')}
      >
        <Table2 size={16} strokeWidth={1.75} aria-hidden />
        {table ? 'View as chart' : 'View as table'}
      </button>
      <span className="rule" />
      <button
        type="button"
        className="icon-button"
        aria-label="Back to the newest bars"
        title="Back to the newest bars (Alt+R)"
        onClick={() => runCommand('chart.reset')}
      >
        <RotateCcw size={16} strokeWidth={1.75} aria-hidden />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="Save a picture of the chart"
        title="Save a picture (Alt+S)"
        onClick={() => runCommand('chart.picture')}
      >
        <Camera size={16} strokeWidth={1.75} aria-hidden />
      </button>
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            { key: 'python', label: 'Copy as Python', onClick: () => runCommand('chart.copyPython') },
            { key: 'curl', label: 'Copy as curl', onClick: () => runCommand('chart.copyCurl') },
            { key: 'link', label: 'Copy link', onClick: () => runCommand('chart.copyLink') },
          ],
        }}
      >
        <button type="button" className="icon-button" aria-label="Copy as code" title="Copy as code">
          <CodeXml size={16} strokeWidth={1.75} aria-hidden />
        </button>
      </Dropdown>
    </div>
  );
}

function AllButton({ all }: { all: boolean }) {
  return (
    <button
      type="button"
      aria-pressed={all}
      title="Everything that is stored, down to single trades (Alt+A)"
      onClick={() => runCommand('chart.all')}
    >
      All
    </button>
  );
}

export function PhoneIntervals(props: {
  interval: Interval;
  all: boolean;
  pickInterval(interval: Interval): void;
}) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
    <div className="intervals-phone" role="group" aria-label="Interval">
      {INTERVALS.map((value) => (
        <button
          key={value}
          type="button"
          aria-pressed={!props.all && value === props.interval}
          onClick={() => props.pickInterval(value)}
        >
          {value}
        </button>
      ))}
      <AllButton all={props.all} />
      <button
        type="button"
        disabled={props.all}
        aria-label="Add an indicator"
        onClick={() => runCommand('chart.indicator')}
      >
        <ChartSpline size={16} strokeWidth={1.75} aria-hidden />
      </button>
    </div>
  );
}
