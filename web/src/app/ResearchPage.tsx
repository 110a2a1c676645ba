import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { type ReactNode, useCallback, useEffect } from 'react';
import { NewRun } from '@/features/run/NewRun';
import { RunList } from '@/features/run/RunList';
import { RunPage } from '@/features/run/RunPage';
import { NewStudy } from '@/features/study/NewStudy';
import { StudyList } from '@/features/study/StudyList';
import { StudyPage } from '@/features/study/StudyPage';
import { Boundary } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import '@/features/collection/collection.css';
import './research-page.css';

const KINDS = [
  ['runs', 'Backtests'],
  ['studies', 'Studies'],
] as const;

const route = getRouteApi('/research');
/** Backtests and studies: those that were made, and a new one. */
export function ResearchPage() {
  const { of = 'runs', strategy } = route.useSearch();
  const phone = usePhone();
  const navigate = useNavigate();
  useEffect(() => {
    document.title = 'Backtests · Tidemill';
  }, []);
  const openRun = useCallback(
    (id: string) => void navigate({ to: '/research/runs/$id', params: { id } }),
    [navigate],
  );
  const openStudy = useCallback(
    (id: string) => void navigate({ to: '/research/studies/$id', params: { id } }),
    [navigate],
  );
  return (
    <div className="page">
      <div className="row page-head">
        {!phone && <h1>Backtests</h1>}
        {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
        <div className="segments" role="group" aria-label="What">
          {KINDS.map(([kind, name]) => (
            <button
              key={kind}
              type="button"
              aria-pressed={kind === of}
              onClick={() => void navigate({ to: '/research', search: { of: kind }, replace: true })}
            >
              {name}
            </button>
          ))}
        </div>
      </div>
      <div className="research-grid">
        {of === 'studies' ? (
          <>
            <StudyList
              link={(id, content) => (
                <Link to="/research/studies/$id" params={{ id }}>
                  {content}
                </Link>
              )}
            />
            <NewStudy chosen={strategy} open={openStudy} />
          </>
        ) : (
          <>
            <RunList
              link={(id, content) => (
                <Link to="/research/runs/$id" params={{ id }}>
                  {content}
                </Link>
              )}
            />
            <NewRun chosen={strategy} open={openRun} />
          </>
        )}
      </div>
    </div>
  );
}

function Back({ of, children }: { of: 'runs' | 'studies'; children: ReactNode }) {
  return (
    <Link to="/research" search={{ of }} className="icon-button" aria-label={`Back to ${children}`}>
      <ArrowLeft size={16} aria-hidden />
    </Link>
  );
}

const runRoute = getRouteApi('/research/runs/$id');
export function OneRunPage() {
  const { id } = runRoute.useParams();
  useEffect(() => {
    document.title = 'Backtest · Tidemill';
  }, []);
  return (
    <div className="page">
      <Boundary what="The run">
        <RunPage key={id} id={id} back={<Back of="runs">backtests</Back>} />
      </Boundary>
    </div>
  );
}

const studyRoute = getRouteApi('/research/studies/$id');
export function OneStudyPage() {
  const { id } = studyRoute.useParams();
  useEffect(() => {
    document.title = 'Study · Tidemill';
  }, []);
  return (
    <div className="page">
      <Boundary what="The study">
        <StudyPage key={id} id={id} back={<Back of="studies">studies</Back>} />
      </Boundary>
    </div>
  );
}
