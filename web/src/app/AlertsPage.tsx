import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { AlertList } from '@/features/alert/AlertList';
import { FiringList } from '@/features/alert/FiringList';
import { NewAlert } from '@/features/alert/NewAlert';
import { usePhone } from '@/theme/ThemeProvider';
import '@/features/collection/collection.css';
import './alerts-page.css';

const route = getRouteApi('/alerts');

/** What is watched, what has fired, and a new alert. */
export function AlertsPage() {
  const { alert, instrument } = route.useSearch();
  const navigate = useNavigate();
  const phone = usePhone();
  useEffect(() => {
    document.title = 'Alerts · Tidemill';
  }, []);
  return (
    <div className="page">
      {!phone && (
        <div className="row page-head">
          <h1>Alerts</h1>
        </div>
      )}
      <div className="alerts-grid">
        <AlertList
          chosen={alert}
          choose={(id) =>
            void navigate({ to: '/alerts', search: id === undefined ? {} : { alert: id }, replace: true })
          }
        />
        <NewAlert instrument={instrument} />
        <FiringList alert={alert} />
      </div>
    </div>
  );
}
