import { Eye, EyeOff, Settings2, TriangleAlert, X } from 'lucide-react';
import { changeIndicator, indicatorLabel, lineColor, removeIndicator, valueText, words } from './indicator';
import { editIndicator } from './indicator-form';
import type { Shown } from './indicator-layer';

/** Each indicator with its values at the crosshair, else of the newest bar; to be hidden, changed and taken away. */
export function IndicatorLegend(props: {
  shown: Shown[];
  /** Start of the bar under the crosshair, seconds. */
  start_s: number | null;
  priceScale: number;
  compact: boolean;
}) {
  const { shown, start_s, priceScale, compact } = props;
  if (shown.length === 0) return null;
  return (
    <ul className="indicators" aria-label="Indicators on the chart">
      {shown.map((one, place) => (
        <Row key={one.added.key} {...one} {...{ place, start_s, priceScale, compact }} />
      ))}
    </ul>
  );
}

const cssColor = (name: string): string => `var(--${name.replaceAll('.', '-')})`;

function Row(props: Shown & { place: number; start_s: number | null; priceScale: number; compact: boolean }) {
  const { added, feed, place, start_s, priceScale, compact } = props;
  const label = indicatorLabel(added);
  const values = start_s === null ? feed.newest : feed.at(start_s);
  const lines = compact ? feed.outputs.slice(0, 1) : feed.outputs;
  return (
    <li className={`indicator ${added.hidden ? 'off' : ''}`} data-indicator={added.name}>
      {compact ? (
        <button type="button" className="indicator-name" onClick={() => editIndicator(added)}>
          {label}
        </button>
      ) : (
        <span className="indicator-name">{label}</span>
      )}
      {!added.hidden && feed.phase === 'loading' && <span className="tertiary">loading</span>}
      {!added.hidden &&
        feed.phase !== 'loading' &&
        lines.map((output, at) => (
          <span
            key={output.name}
            className="mono indicator-value"
            title={words(output.name)}
            style={{ color: cssColor(lineColor(place, output.draw === 'band' ? 0 : at)) }}
          >
            {valueText(values?.[output.name], output.pane === 'price' ? priceScale : null)}
          </span>
        ))}
      {feed.error !== null && (
        <span className="indicator-error" title={feed.error}>
          <TriangleAlert size={12} strokeWidth={2} aria-hidden />
          <span className="cut">{feed.error}</span>
        </span>
      )}
      {!compact && (
        <span className="indicator-tools">
          <button
            type="button"
            aria-label={added.hidden ? `Show ${label}` : `Hide ${label}`}
            title={added.hidden ? 'Show' : 'Hide'}
            onClick={() => changeIndicator(added.key, { hidden: !added.hidden })}
          >
            {added.hidden ? <EyeOff size={13} aria-hidden /> : <Eye size={13} aria-hidden />}
          </button>
          <button
            type="button"
            aria-label={`Change ${label}`}
            title="Change"
            onClick={() => editIndicator(added)}
          >
            <Settings2 size={13} aria-hidden />
          </button>
          <button
            type="button"
            aria-label={`Remove ${label}`}
            title="Remove"
            onClick={() => removeIndicator(added.key)}
          >
            <X size={13} aria-hidden />
          </button>
        </span>
      )}
    </li>
  );
}
