import { getRouteApi, Link, useBlocker, useNavigate } from '@tanstack/react-router';
import { useEffect, useMemo } from 'react';
import { forgetAll, useDrafts } from '@/features/ide/draft';
import { IdeView, type Tab, type Ways } from '@/features/ide/IdeView';
import { LeaveDialog } from '@/features/ide/LeaveDialog';
import { Boundary } from '@/shared/Panel';

export interface IdeSearch {
  /** What stands below the text; the result where nothing is said. */
  tab?: Tab;
  /** The version that the text is compared with. */
  version?: number;
}

const within = (path: string): boolean => path === '/ide' || path.startsWith('/ide/');

function useWays(): Ways {
  const navigate = useNavigate();
  return useMemo(
    (): Ways => ({
      file: (name, content) => (
        <Link to="/ide/$id" params={{ id: name }}>
          {content}
        </Link>
      ),
      version: (name, version, content) => (
        <Link from="/ide/$id" to="/ide/$id" params={{ id: name }} search={(now) => ({ ...now, version })}>
          {content}
        </Link>
      ),
      report: (id, content) => (
        <Link to="/backtests/$id" params={{ id }}>
          {content}
        </Link>
      ),
      open: (name) => void navigate({ to: '/ide/$id', params: { id: name } }),
      close: () => void navigate({ to: '/ide' }),
      show: ({ tab, version }) =>
        void navigate({
          from: '/ide/$id',
          to: '.',
          search: ({ tab: oldTab, version: oldVersion }) => ({
            ...((tab ?? oldTab) ? { tab: tab ?? oldTab } : {}),
            ...(version === null ? {} : (version ?? oldVersion) ? { version: version ?? oldVersion } : {}),
          }),
          replace: true,
        }),
    }),
    [navigate],
  );
}

function Page({ name, search }: { name: string | null; search: IdeSearch }) {
  const ways = useWays();
  const unsaved = useDrafts(({ drafts }) => Object.keys(drafts).length > 0);
  const blocked = useBlocker({
    shouldBlockFn: ({ next }) => unsaved && !within(next.pathname),
    enableBeforeUnload: unsaved,
    withResolver: true,
  });
  useEffect(() => {
    document.title = name === null ? 'Strategies · Tidemill' : `${name} · Tidemill`;
  }, [name]);
  return (
    <div className="ide-page">
      <Boundary what="Strategies">
        <IdeView name={name} tab={search.tab ?? 'result'} version={search.version ?? null} ways={ways} />
      </Boundary>
      {blocked.status === 'blocked' && (
        <LeaveDialog
          stay={blocked.reset}
          leave={() => {
            forgetAll();
            blocked.proceed();
          }}
        />
      )}
    </div>
  );
}

export function IdePage() {
  return <Page name={null} search={{}} />;
}

const route = getRouteApi('/ide/$id');
export function OneStrategyPage() {
  const { id } = route.useParams();
  return <Page name={id} search={route.useSearch()} />;
}
