// What a page with an editor keeps up to date beside what is drawn.

import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { onEvent } from '@/shared/events';
import { useLanguage } from './queries';

/** Reads a strategy again when somebody changed it. */
export function useFollow(name: string): void {
  const client = useQueryClient();
  useEffect(
    () =>
      onEvent('strategy_changed', (subject) => {
        if (subject === name) void client.invalidateQueries({ queryKey: ['strategy', name], exact: true });
      }),
    [name, client],
  );
}

/** Completion and hover, as soon as the platform has said what there is. */
export function useTaught(enabled: boolean): void {
  const { data } = useLanguage(enabled);
  useEffect(() => {
    if (!data || !enabled) return;
    let forget: (() => void) | null = null;
    let over = false;
    import('./python')
      .then(({ teach }) => {
        if (!over) forget = teach(data);
      })
      .catch(() => undefined); // The editor itself says what could not be loaded.
    return () => {
      over = true;
      forget?.();
    };
  }, [data, enabled]);
}

/** Ctrl Enter and Ctrl S wherever the focus is, in the editor too, which has its own use for the first. */
export function useShortcuts(does: { run(): void; save(): void }): void {
  const now = useRef(does);
  now.current = does;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      const act = { Enter: now.current.run, s: now.current.save }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      if (!document.querySelector('dialog[open]')) act();
    };
    window.addEventListener('keydown', pressed, true);
    return () => window.removeEventListener('keydown', pressed, true);
  }, []);
}
