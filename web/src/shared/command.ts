// One registry of commands. Menus, buttons, shortcuts and the palette call the same entries.

import { useEffect } from 'react';
import { create } from 'zustand';

export interface Command {
  /** Stable name, `noun.verb`. */
  id: string;
  title: string;
  group: string;
  /** Keys that run it, shown beside it: `g c`, `Ctrl K`, `Alt+R`. */
  keys?: string;
  /** Words that also find it. */
  words?: string;
  run(): void;
}

/** What the palette looks through. */
export type PaletteKind = 'all' | 'instrument' | 'interval' | 'indicator';

interface Registry {
  commands: Record<string, Command>;
  palette: { open: boolean; kind: PaletteKind; text: string };
  /** The list of shortcuts is shown. */
  sheet: boolean;
}

export const useCommands = create<Registry>(() => ({
  commands: {},
  palette: { open: false, kind: 'all', text: '' },
  sheet: false,
}));

export const openPalette = (kind: PaletteKind = 'all', text = ''): void =>
  useCommands.setState({ palette: { open: true, kind, text } });

export const closePalette = (): void =>
  useCommands.setState(({ palette }) => ({ palette: { ...palette, open: false, text: '' } }));
export const showSheet = (sheet: boolean): void => useCommands.setState({ sheet });

export const runCommand = (id: string): void => useCommands.getState().commands[id]?.run();

/** Registers commands while the component is shown. */
export function useRegister(commands: Command[]): void {
  useEffect(() => {
    useCommands.setState((registry) => ({
      commands: {
        ...registry.commands,
        ...Object.fromEntries(commands.map((command) => [command.id, command])),
      },
    }));
    return () =>
      useCommands.setState((registry) => {
        const left = { ...registry.commands };
        for (const command of commands) if (left[command.id] === command) delete left[command.id];
        return { commands: left };
      });
  }, [commands]);
}

/** True while the person types into a field: single keys are then text, not commands. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** `Alt+R`, `Ctrl K`, `?`, `g`: how a key press is written in `Command.keys`. */
export function keyName(event: KeyboardEvent): string {
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 && (control || event.altKey) ? event.key.toUpperCase() : event.key;
  return `${control ? 'Ctrl ' : ''}${event.altKey ? 'Alt+' : ''}${key}`;
}
