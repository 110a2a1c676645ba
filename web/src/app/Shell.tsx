import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { Search } from 'lucide-react';
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useState } from 'react';
import { api } from '@/api/client';
import { useAlertNews } from '@/features/alert/queries';
import { toggleDock, useDock } from '@/features/job/dock';
import { JobsButton } from '@/features/job/JobsButton';
import { useJobs } from '@/features/job/queries';
import { Logo } from '@/features/shell/Logo';
import { ModeBadge } from '@/features/shell/ModeBadge';
import { MoreSheet } from '@/features/shell/MoreSheet';
import { BottomBar, PAGES, type PageLink, Rail } from '@/features/shell/Rail';
import { ShortcutSheet } from '@/features/shell/ShortcutSheet';
import '@/features/shell/shell.css';
import { StatusStrip } from '@/features/shell/StatusStrip';
import { ToastLine } from '@/features/shell/ToastLine';
import { TopBar } from '@/features/shell/TopBar';
import { type Command, openPalette, showSheet, useRegister } from '@/shared/command';
import { Boundary } from '@/shared/Panel';
import { usePhoneTitle } from '@/shared/phone-title';
import { useMode } from '@/shared/queries';
import { setSettings, useSettings } from '@/shared/settings';
import { stream, useFeed } from '@/shared/stream';
import { useNarrow, usePhone } from '@/theme/ThemeProvider';
import { PALETTES } from '@/theme/themes';
import { AppPalette } from './AppPalette';
import { useKeys } from './keys';

const PATHS = {
  charts: '/charts',
  data: '/data',
  collection: '/data/collect',
  get: '/data/get',
  ide: '/ide',
  backtests: '/backtests',
  studies: '/studies',
  alerts: '/alerts',
  research: '/research',
} as const;
const KEYS: Record<string, string> = {
  charts: 'g c',
  data: 'g d',
  collection: 'g m',
  get: 'g h',
  backtests: 'g b',
  alerts: 'g a',
  research: 'g n',
  ide: 'g i',
};
type PagePath = (typeof PATHS)[keyof typeof PATHS];
const pathOf = (page: PageLink): PagePath => PATHS[page.id as keyof typeof PATHS];

/** How much of a path is a page's own, or that of one that has no entry beside it; 0 where it is another's. */
const shareOf = (path: string, page: PageLink): number =>
  Math.max(
    0,
    ...[page.id, ...(page.with ?? [])]
      .map((id) => PATHS[id as keyof typeof PATHS])
      .filter((its) => path === its || path.startsWith(`${its}/`))
      .map((its) => its.length),
  );

/** Of a page and one below it that has an entry too, the lower one is meant. */
const isWithin = (path: string, page: PageLink): boolean =>
  shareOf(path, page) > 0 && PAGES.every((other) => shareOf(path, other) <= shareOf(path, page));

const loadDock = () => import('@/features/job/JobsDock').then(({ JobsDock }) => ({ default: JobsDock }));
const JobsDock = lazy(loadDock);
/** Fetches the dock's code before it is asked for. */
const preloadDock = (): void => void loadDock().catch(() => undefined); // Opening it shows what went wrong.

/** Letters find an instrument, digits an interval: only where a chart is on screen. */
const typed = (text: string): void =>
  openPalette(/^[\d,]/.test(text) ? 'interval' : 'instrument', text.replace(',', ''));

export function Shell() {
  const phone = usePhone();
  const mode = useMode();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const [more, setMore] = useState(false);
  useShellCommands();
  useAlertNews();
  useKeys(path === PATHS.charts ? typed : null);
  const link = (page: PageLink, content: ReactNode) => (
    <Link
      to={pathOf(page)}
      aria-label={phone ? undefined : page.title}
      aria-current={isWithin(path, page) ? 'page' : undefined}
      activeProps={{ 'aria-current': isWithin(path, page) ? 'page' : undefined }}
    >
      {content}
    </Link>
  );
  const jobs = <JobsButton phone={phone} preload={preloadDock} />;
  const title = PAGES.find((page) => isWithin(path, page))?.title ?? 'Tidemill';
  return (
    <>
      <a className="skip" href="#page">
        To the page
      </a>
      <div className={`shell ${phone ? 'phone' : ''} ${(mode ?? '').toLowerCase()}`}>
        {phone ? <PhoneTop title={title} /> : <TopBar tools={jobs} />}
        {!phone && <Rail link={link} />}
        <main id="page" tabIndex={-1}>
          <Outlet />
        </main>
        <Dock />
        {phone ? <BottomBar link={link} tools={jobs} more={() => setMore(true)} /> : <Strip />}
      </div>
      <MoreSheet open={more} close={() => setMore(false)} link={link} />
      <AppPalette />
      <ShortcutSheet />
      <ToastLine />
    </>
  );
}

/** Its room is there from the first moment, so that the page beside it does not move. */
function Dock() {
  const { open, width_px } = useDock();
  const narrow = useNarrow();
  if (!open) return null;
  return (
    <Suspense
      fallback={narrow ? null : <aside className="dock-room" style={{ width: width_px }} aria-busy />}
    >
      <Boundary what="Jobs">
        <JobsDock />
      </Boundary>
    </Suspense>
  );
}

function PhoneTop({ title }: { title: string }) {
  const mode = useMode();
  const own = usePhoneTitle((state) => state.title);
  return (
    <header className="phone-top">
      <Logo />
      {own ?? <h1>{title}</h1>}
      {mode && <ModeBadge mode={mode} />}
      <button type="button" className="icon-button" aria-label="Search" onClick={() => openPalette()}>
        <Search size={18} strokeWidth={1.75} aria-hidden />
      </button>
    </header>
  );
}

/** Open gaps of all venues, read again as soon as the stream names one. */
function Strip() {
  const client = useQueryClient();
  const seen = useFeed((feed) => feed.gaps);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the count is the signal
  useEffect(() => void client.invalidateQueries({ queryKey: ['collection'] }), [seen, client]);
  const gaps = useQuery({
    queryKey: ['collection'],
    queryFn: () => api.collection(),
    refetchInterval: 5_000,
    select: ({ collectors }) => collectors.reduce((sum, collector) => sum + (collector.gaps_open ?? 0), 0),
  });
  const running = useJobs().data?.jobs.filter(({ state }) => state === 'running').length;
  return <StatusStrip openGaps={gaps.data ?? null} jobs={running ?? null} />;
}

function useShellCommands(): void {
  const navigate = useNavigate();
  const commands = useMemo((): Command[] => {
    const settings = useSettings.getState;
    return [
      ...PAGES.map(
        (page): Command => ({
          id: `page.${page.id}`,
          title: page.title,
          group: 'Pages',
          keys: KEYS[page.id] ?? '',
          run: () => void navigate({ to: pathOf(page) }),
        }),
      ),
      {
        id: 'data.fetch',
        title: 'Fetch history from a provider',
        group: 'Data',
        words: 'download polygon alpaca iqfeed kraken coinbase binance backfill',
        run: () => void navigate({ to: PATHS.get, search: { from: 'provider' } }),
      },
      {
        id: 'data.import',
        title: 'Import a file',
        group: 'Data',
        words: 'csv parquet arrow upload',
        run: () => void navigate({ to: PATHS.get, search: { from: 'file' } }),
      },
      {
        id: 'page.studies',
        title: 'Studies',
        group: 'Pages',
        keys: 'g s',
        run: () => void navigate({ to: PATHS.studies }),
      },
      {
        id: 'alerts.create',
        title: 'Create an alert',
        group: 'Alerts',
        words: 'notify price crossing webhook mail tell me when',
        run: () => void navigate({ to: PATHS.alerts }),
      },
      {
        id: 'research.run',
        title: 'Run a backtest',
        group: 'Research',
        words: 'strategy test equity sharpe',
        run: () => void navigate({ to: PATHS.backtests }),
      },
      {
        id: 'research.study',
        title: 'Start a study',
        group: 'Research',
        words: 'optimise optimize parameters sweep walk-forward grid tpe',
        run: () => void navigate({ to: PATHS.studies }),
      },
      {
        id: 'ide.open',
        title: 'Write a strategy',
        group: 'Research',
        words: 'ide editor code python template new',
        run: () => void navigate({ to: PATHS.ide }),
      },
      {
        id: 'view.theme',
        title: 'Change theme',
        group: 'View',
        words: 'dark light system toggle',
        run: () =>
          setSettings({
            theme: ({ dark: 'light', light: 'system', system: 'dark' } as const)[settings().theme],
          }),
      },
      {
        id: 'view.palette',
        title: 'Change the colours of up and down',
        group: 'View',
        words: 'palette green red blue orange',
        run: () => {
          const next = (PALETTES.indexOf(settings().palette) + 1) % PALETTES.length;
          setSettings({ palette: PALETTES[next] ?? 'green-red' });
        },
      },
      {
        id: 'view.density',
        title: 'Change row height',
        group: 'View',
        words: 'density compact comfortable',
        run: () =>
          setSettings({
            density: ({ compact: 'default', default: 'comfortable', comfortable: 'compact' } as const)[
              settings().density
            ],
          }),
      },
      {
        id: 'view.hollow',
        title: 'Hollow or filled rising candles',
        group: 'View',
        run: () => setSettings({ hollow: !settings().hollow }),
      },
      {
        id: 'jobs.toggle',
        title: 'Show or hide jobs',
        group: 'View',
        keys: 'Alt+J',
        words: 'dock queue progress',
        run: toggleDock,
      },
      {
        id: 'stream.reconnect',
        title: 'Reconnect the stream now',
        group: 'View',
        run: () => stream.reconnect(),
      },
      { id: 'help.shortcuts', title: 'Shortcuts', group: 'Help', keys: '?', run: () => showSheet(true) },
    ];
  }, [navigate]);
  useRegister(commands);
}
