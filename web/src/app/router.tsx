import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import type { ListSearch } from '@/features/run/RunList';
import type { Tab } from '@/features/run/RunPage';
import { type DatasetTab, isDatasetTab, readDatasetSearch } from '@/shared/dataset-search';
import { type Interval, isInterval } from '@/shared/interval';
import type { IdeSearch } from './IdePage';
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

const backtestsPage = lazyRouteComponent(() => import('./BacktestsPage'), 'BacktestsPage');
const backtestPage = lazyRouteComponent(() => import('./BacktestsPage'), 'BacktestPage');
const comparePage = lazyRouteComponent(() => import('./BacktestsPage'), 'CompareRunsPage');
const studiesPage = lazyRouteComponent(() => import('./StudiesPage'), 'StudiesPage');
const alertsPage = lazyRouteComponent(() => import('./AlertsPage'), 'AlertsPage');
const studyPage = lazyRouteComponent(() => import('./StudiesPage'), 'StudyPage');
const researchPage = lazyRouteComponent(() => import('./ResearchPage'), 'ResearchPage');

const idePage = lazyRouteComponent(() => import('./IdePage'), 'IdePage');
const oneStrategyPage = lazyRouteComponent(() => import('./IdePage'), 'OneStrategyPage');

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

/** A strategy that a new run or study begins with. */
const readStrategy = ({ strategy }: Record<string, unknown>): { strategy?: string } =>
  typeof strategy === 'string' && strategy !== '' ? { strategy } : {};

/** What the list shows, and what a new run begins with. */
interface BacktestsSearch extends ListSearch {
  strategy?: string;
  /** A run that is cloned. */
  like?: string;
  /** A study, and the number of its trial that is promoted. */
  study?: string;
  trial?: number;
}

/** Texts of these names that are not empty. Numbers are texts too: an id may be all digits. */
function texts<Name extends string>(search: Record<string, unknown>, names: Name[]) {
  const found: { [key in Name]?: string } = {};
  for (const name of names) {
    const value = search[name];
    if ((typeof value === 'string' && value !== '') || typeof value === 'number') found[name] = String(value);
  }
  return found;
}

const backtests = createRoute({
  getParentRoute: () => root,
  path: '/backtests',
  validateSearch: (search: Record<string, unknown>): BacktestsSearch => ({
    ...texts(search, ['where', 'sort', 'columns', 'strategy', 'like', 'study']),
    ...(search.order === 'asc' || search.order === 'desc' ? { order: search.order } : {}),
    ...(typeof search.trial === 'number' && search.trial >= 0 ? { trial: search.trial } : {}),
  }),
  component: backtestsPage,
});

const compare = createRoute({
  getParentRoute: () => root,
  path: '/backtests/compare',
  validateSearch: (search: Record<string, unknown>): { ids?: string } => texts(search, ['ids']),
  component: comparePage,
});

const backtest = createRoute({
  getParentRoute: () => root,
  path: '/backtests/$id',
  validateSearch: ({ tab, waits }: Record<string, unknown>): { tab?: Tab; waits?: true } => ({
    ...(typeof tab === 'string' ? { tab: tab as Tab } : {}),
    ...(waits === true ? { waits } : {}),
  }),
  component: backtestPage,
});

const ide = createRoute({ getParentRoute: () => root, path: '/ide', component: idePage });
const oneStrategy = createRoute({
  getParentRoute: () => root,
  path: '/ide/$id',
  validateSearch: ({ tab, version }: Record<string, unknown>): IdeSearch => ({
    ...(tab === 'result' || tab === 'problems' || tab === 'checks' ? { tab } : {}),
    ...(typeof version === 'number' && Number.isInteger(version) && version > 0 ? { version } : {}),
  }),
  component: oneStrategyPage,
});

const studies = createRoute({
  getParentRoute: () => root,
  path: '/studies',
  validateSearch: readStrategy,
  component: studiesPage,
});

const study = createRoute({ getParentRoute: () => root, path: '/studies/$id', component: studyPage });

const alerts = createRoute({
  getParentRoute: () => root,
  path: '/alerts',
  validateSearch: ({
    alert,
    instrument,
  }: Record<string, unknown>): { alert?: string; instrument?: string } => ({
    ...(typeof alert === 'string' && alert !== '' ? { alert } : {}),
    ...(typeof instrument === 'string' && instrument !== '' ? { instrument } : {}),
  }),
  component: alertsPage,
});

const research = createRoute({ getParentRoute: () => root, path: '/research', component: researchPage });

export const router = createRouter({
  routeTree: root.addChildren([
    home,
    charts,
    market,
    dataset,
    collection,
    getData,
    backtests,
    compare,
    backtest,
    studies,
    study,
    alerts,
    research,
    ide,
    oneStrategy,
  ]),
  defaultPreload: 'intent',
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
