import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { ArrowLeft, Download, Plus } from 'lucide-react';
import { type ReactNode, useCallback, useEffect } from 'react';
import type { CardActions } from '@/features/dataset/DatasetCard';
import { DatasetPage } from '@/features/dataset/DatasetPage';
import { DatasetsPage, type DatasetsProps } from '@/features/dataset/DatasetsPage';
import type { DatasetTab } from '@/shared/dataset-search';
import { Boundary } from '@/shared/Panel';
import { usePhone } from '@/theme/ThemeProvider';
import '@/features/collection/collection.css';

const listRoute = getRouteApi('/data');

const link: CardActions['link'] = (id, content, tab, className, label) => (
  <Link
    to="/data/$dataset"
    params={{ dataset: id }}
    search={tab ? { tab } : {}}
    className={className}
    aria-label={label}
    preload={false}
  >
    {content}
  </Link>
);

const fetchLink: DatasetsProps['fetchLink'] = (content, className, label) => (
  <Link to="/data/get" search={{ from: 'provider' }} className={className} aria-label={label} preload={false}>
    {content}
  </Link>
);

/** The marketplace: all that is stored, and what could be. */
export function MarketPage() {
  const search = listRoute.useSearch();
  const navigate = useNavigate({ from: '/data' });
  const phone = usePhone();
  useEffect(() => {
    document.title = 'Datasets · Tidemill';
  }, []);
  const change = useCallback<DatasetsProps['change']>(
    (next) => void navigate({ search: next, replace: true, resetScroll: false }),
    [navigate],
  );
  return (
    <Boundary what="Datasets">
      <DatasetsPage
        search={search}
        change={change}
        link={link}
        fetchLink={fetchLink}
        head={
          !phone && (
            <>
              <Link to="/data/get" search={{ from: 'file' }} className="button">
                <Download size={14} aria-hidden />
                Import
              </Link>
              <Link to="/data/get" search={{ from: 'provider' }} className="button primary">
                <Plus size={14} aria-hidden />
                New fetch
              </Link>
            </>
          )
        }
      />
    </Boundary>
  );
}

const oneRoute = getRouteApi('/data/$dataset');
/** One dataset, on the part that the address names. */
export function OneDatasetPage() {
  const { dataset } = oneRoute.useParams();
  const { tab = 'about' } = oneRoute.useSearch();
  const navigate = useNavigate({ from: '/data/$dataset' });
  useEffect(() => {
    document.title = `${dataset} · Tidemill`;
  }, [dataset]);
  const show = useCallback(
    (next: DatasetTab) =>
      void navigate({ search: next === 'about' ? {} : { tab: next }, replace: true, resetScroll: false }),
    [navigate],
  );
  return (
    <div className="page">
      <Boundary what="The dataset">
        <DatasetPage
          key={dataset}
          id={dataset}
          tab={tab}
          show={show}
          back={
            <Link to="/data" className="icon-button" aria-label="Back to datasets">
              <ArrowLeft size={16} aria-hidden />
            </Link>
          }
          chart={(instrument: string, content: ReactNode) => (
            <Link to="/charts" search={{ instrument }} className="button primary">
              {content}
            </Link>
          )}
        />
      </Boundary>
    </div>
  );
}
