import { Search } from 'lucide-react';
import { type ReactNode, useEffect, useId, useMemo, useRef, useState } from 'react';
import { Dialog } from '@/shared/Dialog';

export interface PaletteItem {
  id: string;
  title: string;
  /** Shown dim behind the title. */
  detail?: string;
  /** Shown at the right. */
  side?: ReactNode;
  /** More words that find it. */
  words?: string;
  run(): void;
}

export interface PaletteGroup {
  title: string;
  items: PaletteItem[];
}

/** Rows drawn at most per group: a venue may list thousands of instruments. */
const SHOWN = 40;

/** Smaller is better; null does not match. Beginnings of words win over middles. */
export function matchScore(
  item: Pick<PaletteItem, 'title' | 'detail' | 'words'>,
  text: string,
): number | null {
  const words = text
    .toLowerCase()
    .split(/[\s/]+/)
    .filter(Boolean);
  const whole = `${item.title} ${item.detail ?? ''} ${item.words ?? ''}`.toLowerCase();
  // Who types a whole name means what has it.
  if (words.length > 0 && item.detail?.toLowerCase() === words.join(' ')) return -1;
  let score = 0;
  for (const word of words) {
    const at = whole.indexOf(word);
    if (at < 0) return null;
    score += at === 0 ? 0 : /[\s\-./]/.test(whole[at - 1] ?? '') ? 1 + at / 100 : 3 + at / 100;
  }
  return score;
}

/** One list to find and run anything: a combobox over a listbox, by keyboard or pointer. */
export function Palette(props: {
  open: boolean;
  text: string;
  placeholder: string;
  groups: PaletteGroup[];
  /** Shown when nothing matches. */
  empty: string;
  /** Filters by itself; otherwise the groups are taken as they are. */
  filter?: boolean;
  change(text: string): void;
  close(): void;
}) {
  const { open, text, placeholder, groups, empty, filter = true, change, close } = props;
  const [chosen, setChosen] = useState(0);
  const list = useId();
  const box = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => select(groups, text, filter), [groups, text, filter]);
  const flat = shown.flatMap((group) => group.items);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new text starts again at the best match
  useEffect(() => setChosen(0), [text, open]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the chosen row is looked up after it was drawn
  useEffect(() => {
    box.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen, shown]);

  const run = (item: PaletteItem | undefined) => {
    if (!item) return;
    close();
    item.run();
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setChosen((index) => Math.min(Math.max(0, flat.length - 1), Math.max(0, index + step)));
    } else if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
      event.preventDefault();
      run(flat[chosen]);
    }
  };

  let index = -1;
  return (
    <Dialog open={open} close={close} label={placeholder} className="palette">
      <div className="palette-field">
        <Search size={16} strokeWidth={1.75} className="tertiary" aria-hidden />
        <input
          role="combobox"
          aria-expanded
          aria-controls={list}
          aria-activedescendant={flat[chosen] ? `${list}-${chosen}` : undefined}
          aria-label={placeholder}
          placeholder={placeholder}
          value={text}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => change(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <kbd>Esc</kbd>
      </div>
      <div className="palette-list scroll" role="listbox" id={list} ref={box} aria-label="Matches">
        {flat.length === 0 && <div className="palette-empty small secondary">{empty}</div>}
        {shown.map((group) => (
          // biome-ignore lint/a11y/useSemanticElements: a group of options is not a fieldset
          <div key={group.title} role="group" aria-label={group.title}>
            <div className="palette-group micro tertiary">{group.title}</div>
            {group.items.map((item) => {
              index += 1;
              const own = index;
              return (
                <div
                  key={item.id}
                  id={`${list}-${own}`}
                  role="option"
                  tabIndex={-1}
                  aria-selected={own === chosen}
                  className="palette-item small"
                  onPointerMove={() => own !== chosen && setChosen(own)}
                  onClick={() => run(item)}
                  onKeyDown={onKeyDown}
                >
                  <span className="medium">{item.title}</span>
                  {item.detail && <span className="tertiary cut">{item.detail}</span>}
                  <span className="space" />
                  {item.side}
                </div>
              );
            })}
          </div>
        ))}
      </div>
    </Dialog>
  );
}

function select(groups: PaletteGroup[], text: string, filter: boolean): PaletteGroup[] {
  return groups
    .map(({ title, items }) => {
      if (!filter || text.trim() === '') return { title, items: items.slice(0, SHOWN) };
      const scored = items.flatMap((item) => {
        const score = matchScore(item, text);
        return score === null ? [] : [{ item, score }];
      });
      scored.sort((a, b) => a.score - b.score || a.item.title.localeCompare(b.item.title));
      return { title, items: scored.slice(0, SHOWN).map(({ item }) => item) };
    })
    .filter(({ items }) => items.length > 0);
}
