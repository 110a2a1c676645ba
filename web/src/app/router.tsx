import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from '@tanstack/react-router';
import { type Interval, isInterval } from '@/shared/interval';
import { NotFound } from './NotFound';
import { Shell } from './Shell';

export interface ChartSearch {
  /** `BASE-QUOTE.venue`; absent means the last one looked at, or the first there is. */
  instrument?: string;
  interval?: Interval;
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
  const { instrument, interval } = search;
  return {
    ...(typeof instrument === 'string' && instrument !== '' ? { instrument } : {}),
    ...(isInterval(interval) ? { interval } : {}),
  };
}

const charts = createRoute({
  getParentRoute: () => root,
  path: '/charts',
  validateSearch: readChartSearch,
  component: lazyRouteComponent(() => import('./ChartsPage'), 'ChartsPage'),
});

const collection = createRoute({
  getParentRoute: () => root,
  path: '/data/collect',
  component: lazyRouteComponent(() => import('@/features/collection/CollectionPage'), 'CollectionPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([home, charts, collection]),
  defaultPreload: 'intent',
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
