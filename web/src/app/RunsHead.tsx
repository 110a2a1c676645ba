import { Link } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import type { ReactNode } from 'react';
import { usePhone } from '@/theme/ThemeProvider';

const PAGES = [
  ['/backtests', 'Backtests'],
  ['/studies', 'Studies'],
] as const;

/** The head of both lists: which of the two this is, and the way to the other. */
export function RunsHead({ at }: { at: (typeof PAGES)[number][0] }) {
  const phone = usePhone();
  return (
    <div className="row page-head">
      {!phone && <h1>{PAGES.find(([path]) => path === at)?.[1]}</h1>}
      <nav className="segments" aria-label="Backtests or studies">
        {PAGES.map(([path, name]) => (
          <Link key={path} to={path} aria-current={path === at ? 'page' : undefined}>
            {name}
          </Link>
        ))}
      </nav>
    </div>
  );
}

export function Back({ to, children }: { to: '/backtests' | '/studies'; children: ReactNode }) {
  return (
    <Link to={to} className="icon-button" aria-label={`Back to ${children}`}>
      <ArrowLeft size={16} aria-hidden />
    </Link>
  );
}
