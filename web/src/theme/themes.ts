// tokens.json -> CSS variables and antd. Values live in tokens.json alone.

import { theme as antdTheme, type ThemeConfig } from 'antd';
import tokens from './tokens.json';

export type Mode = 'dark' | 'light';
export const PALETTES = ['green-red', 'red-green', 'blue-orange'] as const;
export type Palette = (typeof PALETTES)[number];
export type ColorName = keyof typeof tokens.color.dark;
export type Colors = Record<ColorName, string>;

export const colors = (mode: Mode): Colors =>
  Object.fromEntries(
    Object.entries(tokens.color[mode]).map(([name, token]) => [name, token.$value]),
  ) as Colors;

/** Colour of a rise and of a fall. */
export function upDown(c: Colors, palette: Palette): [up: string, down: string] {
  if (palette === 'blue-orange') return [c['upBO.default'], c['downBO.default']];
  return palette === 'red-green'
    ? [c['down.default'], c['up.default']]
    : [c['up.default'], c['down.default']];
}

export const FONT = "'IBM Plex Sans', system-ui, sans-serif";
const MONO = "'IBM Plex Mono', ui-monospace, monospace";

/** Every token as a CSS variable (`bg.panel` is `--bg-panel`), and `--up`, `--down` of the chosen palette. */
export function cssVariables(mode: Mode, palette: Palette): Record<string, string> {
  const c = colors(mode);
  const [up, down] = upDown(c, palette);
  return {
    ...Object.fromEntries(
      Object.entries(c).map(([name, value]) => [`--${name.replaceAll('.', '-')}`, value]),
    ),
    '--up': up,
    '--down': down,
    '--font': FONT,
    '--mono': MONO,
  };
}

export function antd(mode: Mode): ThemeConfig {
  const c = colors(mode);
  const exact = {
    colorPrimary: c['accent.solid'],
    colorPrimaryHover: c['accent.solidHover'],
    colorPrimaryActive: c['accent.solid'],
    colorPrimaryBg: c['accent.tint'],
    colorPrimaryBorder: c['accent.text'],
    colorLink: c['accent.text'],
    colorLinkHover: c['accent.text'],
    colorInfo: c['state.info'],
    colorSuccess: c['state.live'],
    colorWarning: c['state.stale'],
    colorError: c['state.error'],
    colorSuccessBg: c['state.live.tint'],
    colorWarningBg: c['state.stale.tint'],
    colorErrorBg: c['state.error.tint'],
    colorBgLayout: c['bg.app'],
    colorBgContainer: c['bg.panel'],
    colorBgElevated: c['bg.overlay'],
    colorBorder: c['line.default'],
    colorBorderSecondary: c['line.subtle'],
    colorText: c['text.primary'],
    colorTextSecondary: c['text.secondary'],
    colorTextTertiary: c['text.tertiary'],
    colorTextQuaternary: c['text.disabled'],
  };
  return {
    // antd's dark algorithm dims every seed: the last step puts our values back.
    algorithm: [
      mode === 'dark' ? antdTheme.darkAlgorithm : antdTheme.defaultAlgorithm,
      (_seed, map) => ({ ...(map ?? ({} as never)), ...exact }),
    ],
    token: {
      fontFamily: FONT,
      fontFamilyCode: MONO,
      fontSize: 13,
      fontSizeSM: 12,
      fontSizeLG: 14,
      fontWeightStrong: 600,
      controlHeight: 28,
      controlHeightSM: 24,
      controlHeightLG: 32,
      borderRadius: 4,
      borderRadiusSM: 3,
      borderRadiusLG: 6,
      motionDurationFast: '80ms',
      motionDurationMid: '120ms',
      motionDurationSlow: '200ms',
      colorTextPlaceholder: c['text.tertiary'],
      colorTextDescription: c['text.tertiary'],
      colorTextDisabled: c['text.disabled'],
      controlItemBgActive: c['bg.selected'],
      controlItemBgHover: c['bg.hover'],
      controlOutline: c['focus.ring'],
      controlOutlineWidth: 2,
      boxShadowSecondary: '0 8px 24px rgba(0, 0, 0, 0.28)',
    },
    components: {
      Button: {
        fontWeight: 500,
        primaryShadow: 'none',
        defaultShadow: 'none',
        dangerShadow: 'none',
        defaultBg: c['bg.raised'],
        contentFontSize: 12,
        contentFontSizeSM: 12,
        paddingInline: 10,
        paddingInlineSM: 8,
      },
      Dropdown: { colorPrimary: c['accent.text'] },
      Tooltip: { colorBgSpotlight: c['bg.overlay'], colorTextLightSolid: c['text.primary'] },
    },
  };
}
