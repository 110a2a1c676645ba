import { ConfigProvider } from 'antd';
import { createContext, type ReactNode, use, useLayoutEffect, useMemo, useSyncExternalStore } from 'react';
import { antd, cssVariables, type Mode, type Palette } from './themes';

export interface Look {
  mode: Mode;
  palette: Palette;
  hollow: boolean;
}

const LookContext = createContext<Look>({ mode: 'dark', palette: 'green-red', hollow: false });

/** The mode and palette in force, for what is drawn on a canvas. */
export const useLook = (): Look => use(LookContext);

const media = (query: string) => ({
  subscribe: (listener: () => void) => {
    const list = matchMedia(query);
    list.addEventListener('change', listener);
    return () => list.removeEventListener('change', listener);
  },
  read: () => matchMedia(query).matches,
});

const light = media('(prefers-color-scheme: light)');
const phone = media('(max-width: 719px)');
const narrow = media('(max-width: 1099px)');

/** True on screens that get the phone's layout. */
export const usePhone = (): boolean => useSyncExternalStore(phone.subscribe, phone.read);

/** True where a page has no room beside it for a dock. */
export const useNarrow = (): boolean => useSyncExternalStore(narrow.subscribe, narrow.read);

export function ThemeProvider(props: {
  theme: Mode | 'system';
  palette: Palette;
  hollow: boolean;
  density: string;
  children: ReactNode;
}) {
  const { theme, palette, hollow, density, children } = props;
  const systemLight = useSyncExternalStore(light.subscribe, light.read);
  const mode: Mode = theme === 'system' ? (systemLight ? 'light' : 'dark') : theme;
  useLayoutEffect(() => {
    const root = document.documentElement;
    root.dataset.theme = mode;
    root.dataset.density = density;
    for (const [name, value] of Object.entries(cssVariables(mode, palette)))
      root.style.setProperty(name, value);
  }, [mode, palette, density]);
  const look = useMemo(() => ({ mode, palette, hollow }), [mode, palette, hollow]);
  const config = useMemo(() => antd(mode), [mode]);
  return (
    <LookContext value={look}>
      <ConfigProvider theme={config}>{children}</ConfigProvider>
    </LookContext>
  );
}
