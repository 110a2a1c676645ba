import { Dropdown } from 'antd';
import { Check, ChevronDown, Ellipsis, Monitor, Moon, Search, Sun } from 'lucide-react';
import type { ReactNode } from 'react';
import { useSecond } from '@/shared/clock';
import { openPalette, runCommand } from '@/shared/command';
import { FeedMark, feedWord } from '@/shared/FeedWord';
import { useFeeds } from '@/shared/feeds';
import { timeOfDay } from '@/shared/format';
import { setSettings, useSettings, zoneChoices, zoneLabel } from '@/shared/settings';
import { useFeed } from '@/shared/stream';
import { Logo } from './Logo';

const THEME_ICON = { dark: Moon, light: Sun, system: Monitor } as const;

/** `tools` stand between the feeds and the looks: what other features put there. */
export function TopBar({ tools }: { tools?: ReactNode }) {
  return (
    <header className="top">
      <div className="brand">
        <Logo />
        Tidemill
      </div>
      <button type="button" className="search" onClick={() => openPalette()}>
        <Search size={14} strokeWidth={1.75} aria-hidden />
        <span className="space cut">Search instruments, datasets and commands</span>
        <kbd>Ctrl K</kbd>
      </button>
      <span className="space" />
      <FeedSummary />
      <span className="rule" />
      <span className="row" style={{ gap: 4 }}>
        {tools}
        <ViewMenu />
      </span>
      <ZoneClock />
    </header>
  );
}

/** `Live 3 of 3 feeds`; anything less is worded and has its own mark. */
function FeedSummary() {
  const feeds = useFeeds();
  const connection = useFeed((feed) => feed.connection);
  const now_ms = useSecond();
  if (connection.state !== 'live') {
    const view = {
      freshness: connection.state === 'signed_out' ? ('offline' as const) : connection.state,
      since_ms: connection.last_message_ms,
      origin: 'page' as const,
      attempt: connection.attempt,
      next_try_ms: connection.next_try_ms,
    };
    const word = feedWord(view, now_ms);
    return (
      <span className={`state small state-${view.freshness}`}>
        {/* Said once per state, not with every second of the count-down. */}
        <span className="hidden" role="status">
          Stream {view.freshness}
        </span>
        <FeedMark freshness={view.freshness} />
        <span aria-hidden>
          {view.freshness === 'reconnecting' ? `Stream lost, ${word}` : `Stream ${word}`}
        </span>
      </span>
    );
  }
  // A feed that nobody wants is not missing.
  const wanted = feeds.filter(({ view }) => view.freshness !== 'idle');
  const live = wanted.filter(({ view }) => view.freshness === 'live').length;
  const all = wanted.length > 0 && live === wanted.length;
  return (
    <span className={`state small state-${all ? 'live' : live > 0 ? 'stale' : 'idle'}`} role="status">
      <FeedMark freshness={all ? 'live' : live > 0 ? 'stale' : 'idle'} />
      <span>
        Live{' '}
        <span className="secondary">
          {live} of {wanted.length} {wanted.length === 1 ? 'feed' : 'feeds'}
        </span>
      </span>
    </span>
  );
}

/** Looks: theme, colours of direction, density. */
function ViewMenu() {
  const { theme, palette, density, hollow } = useSettings();
  const Icon = THEME_ICON[theme];
  const mark = (on: boolean): ReactNode =>
    on ? <Check size={14} aria-hidden /> : <span style={{ width: 14, display: 'inline-block' }} />;
  const choice = (label: string, on: boolean, change: () => void) => ({
    key: label,
    label,
    icon: mark(on),
    onClick: change,
  });
  return (
    <span className="row" style={{ gap: 0 }}>
      <button
        type="button"
        className="icon-button"
        aria-label={`Theme: ${theme}. Change`}
        title="Change theme"
        onClick={() => runCommand('view.theme')}
      >
        <Icon size={16} strokeWidth={1.75} aria-hidden />
      </button>
      <Dropdown
        trigger={['click']}
        menu={{
          items: [
            {
              type: 'group',
              label: 'Theme',
              children: (['dark', 'light', 'system'] as const).map((value) =>
                choice(
                  { dark: 'Dark', light: 'Light', system: 'As the system' }[value],
                  theme === value,
                  () => setSettings({ theme: value }),
                ),
              ),
            },
            {
              type: 'group',
              label: 'Up and down',
              children: [
                choice('Green and red', palette === 'green-red', () => setSettings({ palette: 'green-red' })),
                choice('Red and green', palette === 'red-green', () => setSettings({ palette: 'red-green' })),
                choice('Blue and orange', palette === 'blue-orange', () =>
                  setSettings({ palette: 'blue-orange' }),
                ),
                choice('Hollow rising candles', hollow, () => setSettings({ hollow: !hollow })),
              ],
            },
            {
              type: 'group',
              label: 'Rows',
              children: (['compact', 'default', 'comfortable'] as const).map((value) =>
                choice(value[0]?.toUpperCase() + value.slice(1), density === value, () =>
                  setSettings({ density: value }),
                ),
              ),
            },
          ],
        }}
      >
        <button type="button" className="icon-button" aria-label="Appearance" title="Appearance">
          <Ellipsis size={16} strokeWidth={1.75} aria-hidden />
        </button>
      </Dropdown>
    </span>
  );
}

function ZoneClock() {
  const zone = useSettings((settings) => settings.zone);
  const now_ms = useSecond();
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        selectable: true,
        selectedKeys: [zone],
        items: zoneChoices().map((value) => ({
          key: value,
          label: `${zoneLabel(value)}  ${timeOfDay(now_ms, value).slice(0, 5)}`,
          onClick: () => setSettings({ zone: value }),
        })),
      }}
    >
      <button type="button" className="zone small">
        {/* Its name begins with what it shows: who speaks to it says what is seen. */}
        <span className="tertiary">{zoneLabel(zone)}</span>
        <time>{timeOfDay(now_ms, zone)}</time>
        <span className="hidden">Change the time zone</span>
        <ChevronDown size={12} strokeWidth={2} className="tertiary" aria-hidden />
      </button>
    </Dropdown>
  );
}
