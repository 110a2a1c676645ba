// Keys of the whole page. Commands carry their own keys; on the charts, letters find an instrument and digits an interval.

import { useEffect } from 'react';
import { isTyping, keyName, openPalette, useCommands } from '@/shared/command';

const SEQUENCE_MS = 700;

/** `typed` gets single characters that belong to no command; absent where the page has no use for them. */
export function useKeys(typed: ((text: string) => void) | null): void {
  useEffect(() => {
    let prefix = '';
    let timer: ReturnType<typeof setTimeout> | undefined;
    const clear = () => {
      clearTimeout(timer);
      prefix = '';
    };
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing) return;
      const { commands, palette, sheet } = useCommands.getState();
      const name = keyName(event);
      if (name === 'Ctrl K') {
        event.preventDefault();
        openPalette();
        return;
      }
      if (palette.open || sheet || isTyping(event.target)) return;
      const find = (keys: string) => Object.values(commands).find((command) => command.keys === keys);
      const command = find(prefix ? `${prefix} ${name}` : name);
      if (command) {
        event.preventDefault();
        clear();
        command.run();
        return;
      }
      const plain = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (!plain) return;
      if (prefix) {
        const text = prefix + event.key;
        clear();
        typed?.(text);
        event.preventDefault();
        return;
      }
      const begins = Object.values(commands).some((other) => other.keys?.startsWith(`${name} `));
      if (begins) {
        // `g` may begin `g c` or the name of an instrument: a short wait tells.
        prefix = name;
        timer = setTimeout(() => {
          const text = prefix;
          clear();
          typed?.(text);
        }, SEQUENCE_MS);
        return;
      }
      if (/[\p{L}\p{N},]/u.test(event.key) && typed) {
        event.preventDefault();
        typed(event.key);
      }
    };
    window.addEventListener('keydown', onKeyDown);
    return () => {
      clear();
      window.removeEventListener('keydown', onKeyDown);
    };
  }, [typed]);
}
