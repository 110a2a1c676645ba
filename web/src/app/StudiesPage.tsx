import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useCallback, useEffect } from 'react';
import { NewStudy } from '@/features/study/NewStudy';
import { StudyList } from '@/features/study/StudyList';
import { StudyPage as StudyReport } from '@/features/study/StudyPage';
import { Boundary } from '@/shared/Panel';
import { Back, RunsHead } from './RunsHead';
import '@/features/collection/collection.css';
import './runs-page.css';

const route = getRouteApi('/studies');
/** Studies: those that were made, and a new one. */
export function StudiesPage() {
  const { strategy } = route.useSearch();
  const navigate = useNavigate();
  useEffect(() => {
    document.title = 'Studies · Tidemill';
  }, []);
  const open = useCallback((id: string) => void navigate({ to: '/studies/$id', params: { id } }), [navigate]);
  return (
    <div className="page">
      <RunsHead at="/studies" />
      <div className="research-grid">
        <StudyList
          link={(id, content) => (
            <Link to="/studies/$id" params={{ id }}>
              {content}
            </Link>
          )}
        />
        <NewStudy begin={strategy === undefined ? undefined : { strategy }} open={open} />
      </div>
    </div>
  );
}

const studyRoute = getRouteApi('/studies/$id');
export function StudyPage() {
  const { id } = studyRoute.useParams();
  useEffect(() => {
    document.title = 'Study · Tidemill';
  }, []);
  return (
    <div className="page">
      <Boundary what="The study">
        <StudyReport
          key={id}
          id={id}
          back={<Back to="/studies">studies</Back>}
          promote={(trial, content) => (
            <Link className="button s" to="/backtests" search={{ study: id, trial }}>
              {content}
            </Link>
          )}
        />
      </Boundary>
    </div>
  );
}
