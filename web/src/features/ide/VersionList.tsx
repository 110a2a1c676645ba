import type { ReactNode } from 'react';
import type { Strategy } from '@/api/types';
import { date, msOfNs, timeOfDay } from '@/shared/format';
import { ErrorState, SkeletonRows } from '@/shared/Panel';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import { useVersions } from './queries';

/** Versions, newest first; `link` makes the way to what one differs in. */
export function VersionList(props: {
  strategy: Strategy;
  shown: number | null;
  link(version: number, content: ReactNode): ReactNode;
}) {
  const { strategy, shown, link } = props;
  const zone = useSettings((settings) => settings.zone);
  const kept = strategy.origin === 'database';
  const { data, error, refetch } = useVersions(strategy.name, kept);
  if (!kept) {
    return (
      <p className="panel-body small secondary">
        Versions are kept of strategies that were made here. Copy it to edit it.
      </p>
    );
  }
  if (!data) {
    return error ? (
      <ErrorState what="The versions" error={error} retry={() => void refetch()} />
    ) : (
      <SkeletonRows rows={4} />
    );
  }
  return (
    <Scroll label="Versions, newest first" className="ide-versions">
      <ul>
        {data.items.map(({ version, author, created, sha256 }, at) => {
          const ms = msOfNs(String(created));
          return (
            <li key={version} className={version === shown ? 'on' : ''}>
              {link(
                version,
                <>
                  <span className="medium">v{version}</span>
                  <span className="small secondary cut">
                    {date(ms, zone)} {timeOfDay(ms, zone)}
                    {author && `, ${author}`}
                  </span>
                  <span className="space" />
                  <span className="micro tertiary">
                    {version === strategy.version
                      ? 'newest'
                      : data.items[at + 1]?.sha256 === sha256
                        ? 'same text'
                        : ''}
                  </span>
                </>,
              )}
            </li>
          );
        })}
      </ul>
    </Scroll>
  );
}
