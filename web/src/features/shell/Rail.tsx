import { Tooltip } from 'antd';
import {
  Bell,
  ChartCandlestick,
  Code,
  Database,
  Download,
  FlaskConical,
  Keyboard,
  type LucideIcon,
  Menu,
  NotebookPen,
  RadioTower,
} from 'lucide-react';
import type { ReactNode } from 'react';
import { runCommand } from '@/shared/command';

export interface PageLink {
  id: string;
  title: string;
  icon: LucideIcon;
  /** Ids of pages that are reached from this one and belong to its entry. */
  with?: string[];
  /** Also in the bar of a phone, which has room for four; the others are in *More*. */
  near?: true;
}

/** Pages that exist; the command `page.<id>` goes there. */
export const PAGES: PageLink[] = [
  { id: 'charts', title: 'Charts', icon: ChartCandlestick, near: true },
  { id: 'data', title: 'Data', icon: Database, near: true },
  { id: 'collection', title: 'Collection', icon: RadioTower },
  { id: 'get', title: 'Get data', icon: Download },
  { id: 'ide', title: 'Strategies', icon: Code },
  { id: 'backtests', title: 'Backtests', icon: FlaskConical, with: ['studies'], near: true },
  { id: 'alerts', title: 'Alerts', icon: Bell, near: true },
  { id: 'research', title: 'Research', icon: NotebookPen },
];

/** `link` renders the page's own anchor, so that the router stays outside this folder. */
export function Rail(props: { link: (page: PageLink, content: ReactNode) => ReactNode }) {
  return (
    <nav className="rail" aria-label="Pages">
      {PAGES.map((page) => (
        <Tooltip key={page.id} title={page.title} placement="right" mouseEnterDelay={0.4}>
          {props.link(page, <page.icon size={18} strokeWidth={1.6} aria-hidden />)}
        </Tooltip>
      ))}
      <span className="space" />
      <Tooltip title="Shortcuts" placement="right" mouseEnterDelay={0.4}>
        <button type="button" aria-label="Shortcuts" onClick={() => runCommand('help.shortcuts')}>
          <Keyboard size={18} strokeWidth={1.6} aria-hidden />
        </button>
      </Tooltip>
    </nav>
  );
}

export function BottomBar(props: {
  link: (page: PageLink, content: ReactNode) => ReactNode;
  more: () => void;
  tools?: ReactNode;
}) {
  return (
    <nav className="bottom-bar" aria-label="Pages">
      {PAGES.filter(({ near }) => near).map((page) => (
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
      {props.tools && <span>{props.tools}</span>}
      <span>
        <button type="button" onClick={props.more}>
          <Menu size={20} strokeWidth={1.6} aria-hidden />
          More
        </button>
      </span>
    </nav>
  );
}
