import { X } from 'lucide-react';
import { type Command, showSheet, useCommands } from '@/shared/command';
import { Dialog } from '@/shared/Dialog';

/** Keys that belong to no command: they lead to one, or depend on what is typed. */
const TYPED: { keys: string[]; title: string; group: string }[] = [
  { keys: ['Ctrl K'], title: 'Search instruments, datasets and commands', group: 'Help' },
  { keys: ['a', '…', 'z'], title: 'Find an instrument', group: 'Chart' },
  { keys: ['0', '…', '9', ','], title: 'Change the interval', group: 'Chart' },
  { keys: ['Left', 'Right'], title: 'Move the crosshair by a bar', group: 'Chart, when it has the focus' },
  { keys: ['Shift Left', 'Shift Right'], title: 'By ten bars', group: 'Chart, when it has the focus' },
  { keys: ['Ctrl Up', 'Ctrl Down'], title: 'Zoom', group: 'Chart, when it has the focus' },
];

export function ShortcutSheet() {
  const open = useCommands((registry) => registry.sheet);
  const commands = useCommands((registry) => registry.commands);
  const rows = [
    ...Object.values(commands)
      .filter((command): command is Command & { keys: string } => command.keys !== undefined)
      .map(({ keys, title, group }) => ({
        keys: keys.includes('Ctrl') ? [keys] : keys.split(' '),
        title,
        group,
      })),
    ...TYPED,
  ];
  const groups = [...new Set(rows.map((row) => row.group))];
  return (
    <Dialog open={open} close={() => showSheet(false)} label="Shortcuts">
      <header className="panel-head">
        <h2>Shortcuts</h2>
        <span className="space" />
        <button type="button" className="icon-button" aria-label="Close" onClick={() => showSheet(false)}>
          <X size={16} aria-hidden />
        </button>
      </header>
      <div className="sheet">
        {groups.map((group) => (
          <section key={group} aria-label={group}>
            <div className="micro tertiary">{group}</div>
            {rows
              .filter((row) => row.group === group)
              .map((row) => (
                <div className="row small" key={row.title + row.keys.join()}>
                  <span>{row.title}</span>
                  <span className="space" />
                  {row.keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </div>
              ))}
          </section>
        ))}
      </div>
    </Dialog>
  );
}
