import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useCallback, useEffect } from 'react';
import { NewRun } from '@/features/run/NewRun';
import { RunList } from '@/features/run/RunList';
import { RunPage } from '@/features/run/RunPage';
import { Boundary } from '@/shared/Panel';
import { Back, RunsHead } from './RunsHead';
import '@/features/collection/collection.css';
import './runs-page.css';

const route = getRouteApi('/backtests');
/** Backtests: those that were made, and a new one. */
export function BacktestsPage() {
  const { strategy } = route.useSearch();
  const navigate = useNavigate();
  useEffect(() => {
    document.title = 'Backtests · Tidemill';
  }, []);
  const open = useCallback(
    (id: string) => void navigate({ to: '/backtests/$id', params: { id } }),
    [navigate],
  );
  return (
    <div className="page">
      <RunsHead at="/backtests" />
      <div className="research-grid">
        <RunList
          link={(id, content) => (
            <Link to="/backtests/$id" params={{ id }}>
              {content}
            </Link>
          )}
        />
        <NewRun chosen={strategy} open={open} />
      </div>
    </div>
  );
}

const runRoute = getRouteApi('/backtests/$id');
export function BacktestPage() {
  const { id } = runRoute.useParams();
  useEffect(() => {
    document.title = 'Backtest · Tidemill';
  }, []);
  return (
    <div className="page">
      <Boundary what="The run">
        <RunPage key={id} id={id} back={<Back to="/backtests">backtests</Back>} />
      </Boundary>
    </div>
  );
}
