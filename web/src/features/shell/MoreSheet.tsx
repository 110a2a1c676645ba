import { Drawer } from 'antd';
import type { ReactNode } from 'react';
import { useSecond } from '@/shared/clock';
import { FeedWord } from '@/shared/FeedWord';
import { useFeeds } from '@/shared/feeds';
import { number, timeOfDay } from '@/shared/format';
import { useConfig } from '@/shared/queries';
import { setSettings, useSettings, zoneChoices, zoneLabel } from '@/shared/settings';
import { useFeed } from '@/shared/stream';
import { PAGES, type PageLink } from './Rail';

function Choice<T extends string>(props: {
  label: string;
  value: T;
  choices: [T, string][];
  set(value: T): void;
}) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form
    <div role="group" aria-label={props.label}>
      <div className="micro tertiary">{props.label}</div>
      <div className="segments">
        {props.choices.map(
          ([value, label]): ReactNode => (
            <button
              key={value}
              type="button"
              aria-pressed={value === props.value}
              onClick={() => props.set(value)}
            >
              {label}
            </button>
          ),
        )}
      </div>
    </div>
  );
}

/** The pages that the bar has no room for, and what the top bar and the status strip hold on wide screens. */
export function MoreSheet(props: {
  open: boolean;
  close(): void;
  link: (page: PageLink, content: ReactNode) => ReactNode;
}) {
  const { theme, palette, density, zone } = useSettings();
  const config = useConfig().data;
  const feeds = useFeeds();
  const rate = useFeed((feed) => feed.messages_per_s);
  const now_ms = useSecond();
  return (
    <Drawer
      open={props.open}
      onClose={props.close}
      placement="bottom"
      size={600}
      title="More"
      closable={false}
    >
      <div className="more">
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the links inside are what is pressed */}
        {/* biome-ignore lint/a11y/useKeyWithClickEvents: a link that is pressed by keyboard is a click too */}
        <div className="more-pages" onClick={props.close}>
          {PAGES.filter(({ near }) => !near).map((page) => (
            <span key={page.id}>
              {props.link(
                page,
                <>
                  <page.icon size={20} strokeWidth={1.6} aria-hidden />
                  {page.title}
                </>,
              )}
            </span>
          ))}
        </div>
        <Choice
          label="Theme"
          value={theme}
          choices={[
            ['dark', 'Dark'],
            ['light', 'Light'],
            ['system', 'System'],
          ]}
          set={(value) => setSettings({ theme: value })}
        />
        <Choice
          label="Up and down"
          value={palette}
          choices={[
            ['green-red', 'Green, red'],
            ['red-green', 'Red, green'],
            ['blue-orange', 'Blue, orange'],
          ]}
          set={(value) => setSettings({ palette: value })}
        />
        <Choice
          label="Rows"
          value={density}
          choices={[
            ['compact', 'Compact'],
            ['default', 'Default'],
            ['comfortable', 'Roomy'],
          ]}
          set={(value) => setSettings({ density: value })}
        />
        <Choice
          label={`Time zone, now ${timeOfDay(now_ms, zone)}`}
          value={zone}
          choices={zoneChoices()
            .slice(0, 3)
            .map((value) => [value, zoneLabel(value)])}
          set={(value) => setSettings({ zone: value })}
        />
        <div className="small" style={{ display: 'grid', gap: 4 }}>
          {feeds.map(({ venue, view }) => (
            <FeedWord key={venue} view={view} now_ms={now_ms} name={venue} />
          ))}
          <span className="tertiary">
            {number(rate)} messages per second · Tidemill {config?.version}
          </span>
        </div>
      </div>
    </Drawer>
  );
}
