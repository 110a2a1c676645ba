// WCAG AA contrast and colour-vision difference of tokens.json.
import { describe, expect, it } from 'vitest';
import { type ColorName, colors, cssVariables, type Mode, PALETTES, upDown } from '@/theme/themes';
import tokens from '@/theme/tokens.json';

const channels = (hex: string) => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255);
const linear = (c: number) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = channels(hex).map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const SURFACES: ColorName[] = [
  'bg.app',
  'bg.panel',
  'bg.raised',
  'bg.overlay',
  'bg.hover',
  'bg.selected',
  'bg.field',
];
const TEXT: ColorName[] = [
  'text.primary',
  'text.secondary',
  'text.tertiary',
  'accent.text',
  'up.default',
  'down.default',
  'upBO.default',
  'downBO.default',
  'state.live',
  'state.stale',
  'state.gap',
  'state.repaired',
  'state.error',
  'state.info',
  'mode.simulated',
  'mode.replay',
  'mode.paper',
];
const PAIRS: [ColorName, ColorName][] = [
  ['text.onSolid', 'accent.solid'],
  ['text.onSolid', 'accent.solidHover'],
  ['mode.liveText', 'mode.live'],
  ['text.primary', 'mode.liveTint'],
  ['state.stale', 'state.stale.tint'],
  ['state.gap', 'state.gap.tint'],
  ['state.error', 'state.error.tint'],
  ['state.repaired', 'state.repaired.tint'],
  ['state.live', 'state.live.tint'],
  ['mode.replay', 'mode.replay.tint'],
  ['up.default', 'up.tint'],
  ['down.default', 'down.tint'],
  ['accent.text', 'accent.tint'],
  ['text.primary', 'up.tint'],
  ['text.primary', 'down.tint'],
  ['text.primary', 'state.stale.tint'],
  ['text.secondary', 'state.stale.tint'],
  ['text.tertiary', 'mode.liveTint'],
];
const GRAPHICS: ColorName[] = [
  'focus.ring',
  'line.strong',
  'accent.solid',
  'chart.ma1',
  'chart.ma2',
  'chart.ma3',
  'chart.benchmark',
  'chart.crosshair',
  'chart.projection',
];

describe.each(['dark', 'light'] as Mode[])('%s', (mode) => {
  const c = colors(mode);

  it.each(TEXT)('%s is readable on every surface', (name) => {
    for (const surface of SURFACES)
      expect(contrast(c[name], c[surface]), surface).toBeGreaterThanOrEqual(4.5);
  });

  it.each(PAIRS)('%s is readable on %s', (text, surface) => {
    expect(contrast(c[text], c[surface])).toBeGreaterThanOrEqual(4.5);
  });

  it.each(GRAPHICS)('%s is seen', (name) => {
    for (const surface of ['bg.app', 'bg.panel'] as const) {
      expect(contrast(c[name], c[surface]), surface).toBeGreaterThanOrEqual(3);
    }
  });

  it('up and down differ for every eye', () => {
    for (const eyes of Object.values(tokens.palette.differenceCIEDE2000[mode])) {
      for (const difference of Object.values(eyes)) expect(difference).toBeGreaterThanOrEqual(20);
    }
  });

  it.each(PALETTES)('%s: the label of the last price can be read', (palette) => {
    const ink = mode === 'dark' ? c['bg.app'] : c['text.onSolid'];
    for (const fill of upDown(c, palette)) expect(contrast(ink, fill)).toBeGreaterThanOrEqual(4.5);
  });

  it('every token is a variable', () => {
    const variables = cssVariables(mode, 'green-red');
    expect(variables['--bg-panel']).toBe(c['bg.panel']);
    expect(Object.keys(variables).length).toBe(Object.keys(c).length + 4);
  });
});
