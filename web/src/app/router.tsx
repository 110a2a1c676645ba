import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { type DatasetTab, isDatasetTab, readDatasetSearch } from '@/shared/dataset-search';
import { type Interval, isInterval } from '@/shared/interval';
import { NotFound } from './NotFound';
import { Shell } from './Shell';
import { isWay, type Way } from './way';

export interface ChartSearch {
  /** `BASE-QUOTE.venue`; absent means the last one looked at, or the first there is. */
  instrument?: string;
  interval?: Interval;
  /** Those on the chart, `rsi(period:14);ema(period:50)`; absent means those shown last. */
  indicators?: string;
  /** Everything that is stored, instead of bars of the interval. */
  all?: true;
}

const chartsPage = lazyRouteComponent(() => import('./ChartsPage'), 'ChartsPage');
const collectionPage = lazyRouteComponent(
  () => import('@/features/collection/CollectionPage'),
  'CollectionPage',
);

const marketPage = lazyRouteComponent(() => import('./DataPages'), 'MarketPage');
const datasetPage = lazyRouteComponent(() => import('./DataPages'), 'OneDatasetPage');

const getDataPage = lazyRouteComponent(() => import('./GetDataPage'), 'GetDataPage');

const researchPage = lazyRouteComponent(() => import('./ResearchPage'), 'ResearchPage');
const runPage = lazyRouteComponent(() => import('./ResearchPage'), 'OneRunPage');
const studyPage = lazyRouteComponent(() => import('./ResearchPage'), 'OneStudyPage');

/** Fetches the first page's code while the session is opened: the one does not need the other. */
export function preloadPage(): void {
  const page = location.pathname === collection.path ? collectionPage : chartsPage;
  page.preload?.()?.catch(() => undefined); // The router tries again, and shows what went wrong.
}

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: ({ location }) => {
    throw redirect({ to: '/charts', search: readChartSearch(location.search), replace: true });
  },
});

function readChartSearch(search: Record<string, unknown>): ChartSearch {
  const { instrument, interval, all, indicators } = search;
  return {
    ...(typeof instrument === 'string' && instrument !== '' ? { instrument } : {}),
    ...(isInterval(interval) ? { interval } : {}),
    ...(typeof indicators === 'string' && indicators !== '' ? { indicators } : {}),
    ...(all === true ? { all } : {}),
  };
}

const charts = createRoute({
  getParentRoute: () => root,
  path: '/charts',
  validateSearch: readChartSearch,
  component: chartsPage,
});

const collection = createRoute({
  getParentRoute: () => root,
  path: '/data/collect',
  component: collectionPage,
});

const market = createRoute({
  getParentRoute: () => root,
  path: '/data',
  validateSearch: readDatasetSearch,
  component: marketPage,
});

const dataset = createRoute({
  getParentRoute: () => root,
  path: '/data/$dataset',
  validateSearch: ({ tab }: Record<string, unknown>): { tab?: DatasetTab } =>
    isDatasetTab(tab) ? { tab } : {},
  component: datasetPage,
});

const getData = createRoute({
  getParentRoute: () => root,
  path: '/data/get',
  validateSearch: ({ from }: Record<string, unknown>): { from?: Way } => (isWay(from) ? { from } : {}),
  component: getDataPage,
});

const research = createRoute({
  getParentRoute: () => root,
  path: '/research',
  validateSearch: ({
    of,
    strategy,
  }: Record<string, unknown>): { of?: 'runs' | 'studies'; strategy?: string } => ({
    ...(of === 'runs' || of === 'studies' ? { of } : {}),
    ...(typeof strategy === 'string' && strategy !== '' ? { strategy } : {}),
  }),
  component: researchPage,
});

const run = createRoute({ getParentRoute: () => root, path: '/research/runs/$id', component: runPage });
const study = createRoute({
  getParentRoute: () => root,
  path: '/research/studies/$id',
  component: studyPage,
});

export const router = createRouter({
  routeTree: root.addChildren([home, charts, market, dataset, collection, getData, research, run, study]),
  defaultPreload: 'intent',
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
