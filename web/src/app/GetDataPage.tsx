import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { FetchPanel } from '@/features/fetch/FetchPanel';
import { ImportPanel } from '@/features/import/ImportPanel';
import { openDock } from '@/features/job/dock';
import { Boundary } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import { WAYS } from './way';
import '@/features/collection/collection.css';

const route = getRouteApi('/data/get');
/** History that is not collected live: fetched, or brought along. */
export function GetDataPage() {
  const { from = 'provider' } = route.useSearch();
  const phone = usePhone();
  const navigate = useNavigate({ from: '/data/get' });
  useEffect(() => {
    document.title = 'Get data · Tidemill';
  }, []);
  return (
    <div className="page">
      <div className="row page-head">
        {!phone && <h1>Get data</h1>}
        {/* biome-ignore lint/a11y/useSemanticElements: a row of toggle buttons, not a form */}
        <div className="segments" role="group" aria-label="From where">
          {WAYS.map(([way, name]) => (
            <button
              key={way}
              type="button"
              aria-pressed={way === from}
              onClick={() => void navigate({ search: { from: way }, replace: true })}
            >
              {name}
            </button>
          ))}
        </div>
      </div>
      <Boundary what="Get data">
        {from === 'file' ? <ImportPanel started={openDock} /> : <FetchPanel started={openDock} />}
      </Boundary>
    </div>
  );
}
