// Short notices at the edge of the screen. One at a time; the newest wins.

import { create } from 'zustand';

interface Toast {
  text: string;
  kind: 'good' | 'bad';
}

export const useToast = create<{ toast: Toast | null }>(() => ({ toast: null }));

const SHOWN_MS = 4000;
let timer: ReturnType<typeof setTimeout> | undefined;

export function toast(text: string, kind: Toast['kind'] = 'good'): void {
  clearTimeout(timer);
  useToast.setState({ toast: { text, kind } });
  timer = setTimeout(() => useToast.setState({ toast: null }), SHOWN_MS);
}

export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast(`The browser did not allow copying. ${what} was not copied.`, 'bad');
  }
}
