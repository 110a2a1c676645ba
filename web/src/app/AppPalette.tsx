import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { api } from '@/api/client';
import type { Indicator } from '@/api/types';
import { askIndicator } from '@/features/chart/indicator-form';
import { Palette, type PaletteGroup } from '@/features/shell/Palette';
import { closePalette, openPalette, type PaletteKind, useCommands } from '@/shared/command';
import { decimal } from '@/shared/format';
import { INTERVALS, readInterval } from '@/shared/interval';
import { pairOf } from '@/shared/market';
import { useIndicatorList, useInstruments } from '@/shared/queries';

const PLACEHOLDER: Record<PaletteKind, string> = {
  all: 'Search instruments, datasets and commands',
  instrument: 'Instrument',
  interval: 'Interval: 5 is five minutes, 4h four hours',
  indicator: 'Add an indicator: RSI, average, bands',
};

const EMPTY: Record<PaletteKind, string> = {
  all: 'Nothing has this name. Try part of an instrument, such as BTC, or a page.',
  instrument: 'No collected instrument has this name.',
  interval: `Bars are kept for ${INTERVALS.join(', ')}.`,
  indicator: 'No indicator has this name.',
};

/** The one place to find anything: instruments, commands, intervals. */
export function AppPalette() {
  const { open, kind, text } = useCommands((registry) => registry.palette);
  const commands = useCommands((registry) => registry.commands);
  const instruments = useInstruments().data;
  const navigate = useNavigate();
  const indicators = useIndicatorList(open && kind === 'indicator');
  const datasets = useQuery({
    queryKey: ['datasets', 'names'],
    queryFn: ({ signal }) => api.datasets({ limit: 2000 }, signal),
    enabled: open && kind === 'all',
    staleTime: 30_000,
  }).data?.items;
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
    if (kind === 'indicator') return indicatorGroups(indicators.data ?? [], text.trim() !== '');
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
    const stored = {
      title: 'Datasets',
      items: (datasets ?? []).map((row) => ({
        id: `dataset ${row.id}`,
        title: `Open dataset ${row.name}`,
        detail: row.venue,
        words: `${row.id} ${row.kind} ${row.category}`,
        run: () => void navigate({ to: '/data/$dataset', params: { dataset: row.id } }),
      })),
    };
    return [found, { title: 'Commands', items: actions }, intervals, stored];
  }, [kind, text, instruments, commands, navigate, indicators.data, datasets]);
  return (
    <Palette
      open={open}
      text={text}
      placeholder={PLACEHOLDER[kind]}
      empty={kind === 'indicator' ? emptyIndicators(indicators) : EMPTY[kind]}
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

/** By place while nothing is searched, else the best match first. */
function indicatorGroups(all: Indicator[], searched: boolean): PaletteGroup[] {
  const overPrices = (one: Indicator) => one.outputs[0]?.pane === 'price';
  const item = (one: Indicator) => ({
    id: `indicator ${one.name}`,
    title: one.title,
    detail: one.name,
    words: one.description,
    side: searched && <span className="tertiary micro">{overPrices(one) ? 'over prices' : 'own pane'}</span>,
    run: () => askIndicator(one.name),
  });
  const theirs = all.filter(({ name }) => name.startsWith('talib:'));
  const ours = all.filter(({ name }) => !name.startsWith('talib:'));
  const last = { title: 'TA-Lib', items: theirs.map(item) };
  if (searched) return [{ title: 'Indicators', items: ours.map(item) }, last];
  return [
    { title: 'Over prices', items: ours.filter(overPrices).map(item) },
    { title: 'In a pane of its own', items: ours.filter((one) => !overPrices(one)).map(item) },
    last,
  ];
}

const emptyIndicators = ({ isPending, error }: { isPending: boolean; error: Error | null }): string =>
  error ? `The list did not come: ${error.message}` : isPending ? 'Loading' : EMPTY.indicator;
