import { useEffect, useMemo, useRef, useState } from 'react';
import { Pace } from '@/shared/pace';
import { useIndicators, writeIndicators } from './indicator';
import { IndicatorFeed } from './indicator-feed';
import type { Shown } from './indicator-layer';

/** Feeds of all indicators on the chart, for as long as it shows these bars; `ready` once the bars are there. */
export function useIndicatorFeeds(
  instrument: string,
  interval: string,
  ready: boolean,
  first_s: number | null,
): { shown: Shown[]; version: number } {
  const added = useIndicators((chosen) => chosen.added);
  const [version, setVersion] = useState(0);
  const feeds = useRef(new Map<string, IndicatorFeed>());
  const drawing = useRef<Pace | null>(null);
  const prefix = `${instrument} ${interval} `;
  const id = (one: (typeof added)[number]) => `${prefix}${one.key} ${writeIndicators([one])}`;
  const names = added.map(id).join('\n');

  // biome-ignore lint/correctness/useExhaustiveDependencies: the names say all that a feed depends on
  useEffect(() => {
    drawing.current ??= new Pace(() => setVersion((value) => value + 1));
    const pace = drawing.current;
    const wanted = new Set(ready ? added.map(id) : []);
    for (const [name, feed] of feeds.current) {
      if (wanted.has(name)) continue;
      feed.close();
      feeds.current.delete(name);
    }
    for (const one of ready ? added : []) {
      if (!feeds.current.has(id(one)))
        feeds.current.set(id(one), new IndicatorFeed({ instrument, interval }, one, () => pace.ask()));
    }
    setVersion((value) => value + 1);
  }, [names, ready]);

  useEffect(
    () => () => {
      drawing.current?.stop();
      drawing.current = null;
      for (const feed of feeds.current.values()) feed.close();
      feeds.current.clear();
    },
    [],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: new feeds come with a new version
  useEffect(() => {
    if (first_s !== null) for (const feed of feeds.current.values()) feed.reach(first_s);
  }, [first_s, names, ready]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the version tells that feeds have changed
  const shown = useMemo(
    () =>
      added.flatMap((one): Shown[] => {
        const feed = feeds.current.get(id(one));
        return feed ? [{ added: one, feed }] : [];
      }),
    [added, names, version],
  );
  return { shown, version };
}
