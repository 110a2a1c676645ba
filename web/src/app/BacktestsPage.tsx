import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { type ReactNode, useCallback, useEffect } from 'react';
import { api } from '@/api/client';
import { ComparePage } from '@/features/run/ComparePage';
import { NewRun } from '@/features/run/NewRun';
import { type ListSearch, RunList } from '@/features/run/RunList';
import { isTab, RunPage, type Tab } from '@/features/run/RunPage';
import { ofRun, ofTrial } from '@/shared/begin';
import { Boundary, ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import type { Begin } from '@/shared/ResearchForm';
import { Back, RunsHead } from './RunsHead';
import '@/features/collection/collection.css';
import './runs-page.css';

const toRun = (id: string, content: ReactNode) => (
  <Link to="/backtests/$id" params={{ id }}>
    {content}
  </Link>
);

const route = getRouteApi('/backtests');
/** Backtests: those that were made, and a new one. */
export function BacktestsPage() {
  const search = route.useSearch();
  const { strategy, like, study, trial, ...list } = search;
  const navigate = useNavigate();
  const navigateHere = route.useNavigate();
  useEffect(() => {
    document.title = 'Backtests · Tidemill';
  }, []);
  const open = useCallback(
    (id: string, waits: boolean) =>
      void navigate({ to: '/backtests/$id', params: { id }, search: waits ? { waits: true } : {} }),
    [navigate],
  );
  const compare = useCallback(
    (ids: string[]) => void navigate({ to: '/backtests/compare', search: { ids: ids.join(',') } }),
    [navigate],
  );
  const set = useCallback(
    (next: ListSearch) =>
      void navigateHere({
        search: ({ strategy, like, study, trial }) => ({
          ...(strategy === undefined ? {} : { strategy }),
          ...(like === undefined ? {} : { like }),
          ...(study === undefined ? {} : { study }),
          ...(trial === undefined ? {} : { trial }),
          ...next,
        }),
        replace: true,
      }),
    [navigateHere],
  );
  return (
    <div className="page">
      <RunsHead at="/backtests" />
      <div className="research-grid">
        <RunList search={list} set={set} compare={compare} link={toRun} />
        <Begun strategy={strategy} like={like} study={study} trial={trial} open={open} />
      </div>
    </div>
  );
}

/** A new run, which begins as another run or as a trial where the address says so. */
function Begun(props: {
  strategy?: string | undefined;
  like?: string | undefined;
  study?: string | undefined;
  trial?: number | undefined;
  open(id: string, waits: boolean): void;
}) {
  const { strategy, like, study, trial, open } = props;
  const wanted = like !== undefined || (study !== undefined && trial !== undefined);
  const { data, error, refetch } = useQuery({
    queryKey: ['begin', like, study, trial],
    enabled: wanted,
    retry: false,
    queryFn: async ({ signal }): Promise<Begin> => {
      if (like !== undefined) return ofRun(await api.backtest(like, signal));
      const [found, trials] = await Promise.all([
        api.study(study ?? '', signal),
        api.trials(study ?? '', { limit: 5000 }, signal),
      ]);
      const one = trials.items.find(({ number }) => number === trial);
      if (!one) throw new Error(`the study has no trial ${(trial ?? 0) + 1}`);
      return ofTrial(found, one);
    },
  });
  if (wanted && !data) {
    return (
      <Panel title="New backtest" className="new-run">
        {error ? (
          <ErrorState what="What it begins with" error={error} retry={() => void refetch()} />
        ) : (
          <SkeletonRows rows={5} />
        )}
      </Panel>
    );
  }
  const begin = data ?? (strategy === undefined ? undefined : { strategy });
  return <NewRun key={`${like} ${study} ${trial} ${strategy}`} begin={begin} open={open} />;
}

const runRoute = getRouteApi('/backtests/$id');
export function BacktestPage() {
  const { id } = runRoute.useParams();
  const { tab: asked, waits = false } = runRoute.useSearch();
  const tab = isTab(asked) ? asked : 'overview';
  const navigate = useNavigate();
  useEffect(() => {
    document.title = 'Backtest · Tidemill';
  }, []);
  const setTab = useCallback(
    (next: Tab) =>
      void navigate({
        to: '/backtests/$id',
        params: { id },
        search: next === 'overview' ? {} : { tab: next },
        replace: true,
      }),
    [navigate, id],
  );
  const made = useCallback(
    (run: string) => void navigate({ to: '/backtests/$id', params: { id: run }, replace: true }),
    [navigate],
  );
  return (
    <div className="page">
      <Boundary what="The run">
        <RunPage
          key={id}
          id={id}
          back={<Back to="/backtests">backtests</Back>}
          tab={tab}
          waits={waits}
          setTab={setTab}
          made={made}
          edit={(strategy, content) => (
            <Link className="button s" to="/ide/$id" params={{ id: strategy }}>
              {content}
            </Link>
          )}
          clone={(content) => (
            <Link className="button" to="/backtests" search={{ like: id }}>
              {content}
            </Link>
          )}
        />
      </Boundary>
    </div>
  );
}

const compareRoute = getRouteApi('/backtests/compare');
export function CompareRunsPage() {
  const { ids = '' } = compareRoute.useSearch();
  const navigate = compareRoute.useNavigate();
  useEffect(() => {
    document.title = 'Compare backtests · Tidemill';
  }, []);
  return (
    <div className="page">
      <Boundary what="The comparison">
        <ComparePage
          ids={ids.split(',').filter((id) => id !== '')}
          set={(next) => void navigate({ search: { ids: next.join(',') }, replace: true })}
          back={<Back to="/backtests">backtests</Back>}
          link={(id, content) => (
            <Link to="/backtests/$id" params={{ id }}>
              {content}
            </Link>
          )}
        />
      </Boundary>
    </div>
  );
}
