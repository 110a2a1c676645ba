// tokens.json -> lightweight-charts. Apart from themes.ts, so that only the chart page loads the chart library.

import {
  type CandlestickStyleOptions,
  type ChartOptions,
  CrosshairMode,
  type DeepPartial,
  LineStyle,
} from 'lightweight-charts';
import { colors, FONT, type Mode, type Palette, upDown } from './themes';

export function chart(mode: Mode): DeepPartial<ChartOptions> {
  const c = colors(mode);
  const line = {
    color: c['chart.crosshair'],
    width: 1 as const,
    style: LineStyle.Dashed,
    // The library draws no outline: on white the label needs a surface of its own.
    labelBackgroundColor: mode === 'dark' ? c['bg.overlay'] : c['bg.sunken'],
  };
  return {
    layout: {
      background: { color: c['bg.panel'] },
      textColor: c['text.tertiary'],
      fontFamily: FONT,
      fontSize: 11,
      panes: { separatorColor: c['line.subtle'], separatorHoverColor: c['bg.selected'], enableResize: true },
      attributionLogo: true,
    },
    grid: { vertLines: { color: c['chart.grid'] }, horzLines: { color: c['chart.grid'] } },
    // The price's own label is drawn with the axis, over whole ticks (features/chart/price-axis.ts).
    crosshair: { mode: CrosshairMode.Normal, vertLine: line, horzLine: { ...line, labelVisible: false } },
    rightPriceScale: {
      borderColor: c['line.subtle'],
      minimumWidth: 66,
      scaleMargins: { top: 0.1, bottom: 0.04 },
      alignLabels: true,
      entireTextOnly: true,
    },
    timeScale: {
      borderColor: c['line.subtle'],
      rightOffset: 4,
      barSpacing: 6,
      minBarSpacing: 0.5,
      enableConflation: true,
    },
  };
}

export function candles(mode: Mode, palette: Palette, hollow: boolean): DeepPartial<CandlestickStyleOptions> {
  const c = colors(mode);
  const [up, down] = upDown(c, palette);
  return {
    upColor: hollow ? c['bg.panel'] : up,
    downColor: down,
    borderVisible: hollow,
    borderUpColor: up,
    borderDownColor: down,
    wickUpColor: up,
    wickDownColor: down,
  };
}
