import { useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { Palette, type PaletteGroup } from '@/features/shell/Palette';
import { closePalette, openPalette, type PaletteKind, useCommands } from '@/shared/command';
import { decimal } from '@/shared/format';
import { INTERVALS, readInterval } from '@/shared/interval';
import { pairOf } from '@/shared/market';
import { useInstruments } from '@/shared/queries';

const PLACEHOLDER: Record<PaletteKind, string> = {
  all: 'Search instruments and commands',
  instrument: 'Instrument',
  interval: 'Interval: 5 is five minutes, 4h four hours',
};

const EMPTY: Record<PaletteKind, string> = {
  all: 'Nothing has this name. Try part of an instrument, such as BTC, or a page.',
  instrument: 'No collected instrument has this name.',
  interval: `Bars are kept for ${INTERVALS.join(', ')}.`,
};

/** The one place to find anything: instruments, commands, intervals. */
export function AppPalette() {
  const { open, kind, text } = useCommands((registry) => registry.palette);
  const commands = useCommands((registry) => registry.commands);
  const instruments = useInstruments().data;
  const navigate = useNavigate();
  const groups = useMemo((): PaletteGroup[] => {
    const intervals = {
      title: 'Intervals',
      items: INTERVALS.filter((value) => kind !== 'interval' || text === '' || fits(value, text)).map(
        (interval) => ({
          id: `interval ${interval}`,
          title: interval,
          words: 'interval',
          run: () => void navigate({ to: '/charts', search: (old) => ({ ...old, interval }) }),
        }),
      ),
    };
    if (kind === 'interval') return [intervals];
    const found = {
      title: 'Instruments',
      items: (instruments ?? []).map((item) => ({
        id: `instrument ${item.instrument}`,
        title: pairOf(item),
        detail: item.venue,
        words: `${item.base}${item.quote} ${item.instrument} ${item.symbol}`,
        side: item.last && <span className="tertiary">{decimal(item.last.price, item.price_scale)}</span>,
        run: () =>
          void navigate({ to: '/charts', search: (old) => ({ ...old, instrument: item.instrument }) }),
      })),
    };
    if (kind === 'instrument') return [found];
    const actions = Object.values(commands).map((command) => ({
      id: command.id,
      title: command.title,
      detail: command.group,
      words: `${command.words ?? ''} ${command.id}`,
      side: command.keys && (
        <span className="row" style={{ gap: 4 }}>
          {(command.keys.includes('Ctrl') ? [command.keys] : command.keys.split(' ')).map((key) => (
            <kbd key={key}>{key}</kbd>
          ))}
        </span>
      ),
      run: command.run,
    }));
    return [found, { title: 'Commands', items: actions }, intervals];
  }, [kind, text, instruments, commands, navigate]);
  return (
    <Palette
      open={open}
      text={text}
      placeholder={PLACEHOLDER[kind]}
      empty={EMPTY[kind]}
      groups={groups}
      filter={kind !== 'interval'}
      change={(next) => openPalette(kind, next)}
      close={closePalette}
    />
  );
}

/** An exact reading wins; while it is typed, every interval that begins so stays. */
function fits(interval: (typeof INTERVALS)[number], text: string): boolean {
  const exact = readInterval(text);
  return exact ? interval === exact : interval.startsWith(text.trim().toLowerCase());
}
