import type { CollectionStatus, PartStatus } from '@/api/types';
import { useSecond } from '@/shared/clock';
import { FeedMark } from '@/shared/FeedWord';
import type { Freshness } from '@/shared/feed-state';
import { age, bytes, count, latency, number } from '@/shared/format';
import { figure, freshnessOf, moment_ms, partNamed, undurable } from './collection';

interface Node {
  name: string;
  freshness: Freshness | null;
  /** Figures in words; what the platform does not say is left out. */
  facts: string[];
}

const said = (...facts: (string | null | false)[]): string[] =>
  facts.filter((fact): fact is string => Boolean(fact));

/** Every step from the venues to the store, with the depth and lag that the platform reports. */
export function pipelineNodes(status: CollectionStatus, now_ms: number): Node[] {
  const { collectors } = status;
  const wanted = collectors.filter((collector) => collector.wanted);
  const live = wanted.filter(({ state }) => state === 'live').length;
  const other = wanted.length - live;
  const unknown = wanted.some(({ state }) => freshnessOf(state) === 'unknown');
  const nodes: Node[] = [
    {
      name: 'Collectors',
      freshness: unknown ? 'unknown' : live === 0 ? 'idle' : other > 0 ? 'stale' : 'live',
      facts: unknown
        ? [`${number(wanted.length)} wanted`]
        : said(`${live} live`, other > 0 && `${other} not live`),
    },
    {
      name: 'Journal',
      freshness: null,
      facts: said(
        `${count(sum(collectors.map(({ records }) => records)))} records`,
        `${number(sum(collectors.map(undurable)))} not yet on disk`,
      ),
    },
  ];
  const relay = partNamed(status, 'relay');
  if (relay) nodes.push({ name: 'Relay', freshness: freshnessOf(relay.state), facts: fanOut(relay) });
  const bridge = partNamed(status, 'bridge');
  nodes.push(
    bridge
      ? { name: 'Bridge', freshness: freshnessOf(bridge.state), facts: fanOut(bridge) }
      : silent('Bridge'),
  );
  const recorder = partNamed(status, 'recorder');
  nodes.push(
    recorder
      ? { name: 'Recorder', freshness: freshnessOf(recorder.state), facts: writing(recorder) }
      : silent('Recorder'),
  );
  nodes.push({ name: storeName(recorder?.store), freshness: null, facts: stored(recorder, now_ms) });
  return nodes;
}

/** What the recorder writes to; without a word of it, what a platform has unless another store is set. */
function storeName(place = ''): string {
  if (place.startsWith('postgres')) return 'PostgreSQL';
  return place.startsWith('arctic') ? 'ArcticDB' : 'Lake';
}

const silent = (name: string): Node => ({ name, freshness: 'offline', facts: ['does not answer'] });

const sum = (values: (number | undefined)[]): number =>
  values.reduce((total: number, value) => total + (value ?? 0), 0);

const most = (values: (number | undefined)[]): number | null => {
  const known = values.filter((value) => value !== undefined);
  return known.length > 0 ? Math.max(...known) : null;
};

const lag = (ns: number | null): string | false => ns !== null && `lag ${latency(ns)}`;

/** Relay and bridge: how many they serve, and whether one is too slow. */
function fanOut({ metrics }: PartStatus): string[] {
  const clients = figure(metrics, 'clients', 'subscribers', 'connections', 'readers');
  const slow = figure(metrics, 'slow', 'slow_clients', 'cut', 'cut_total', 'cuts');
  return said(
    clients !== null && `${number(clients)} ${clients === 1 ? 'client' : 'clients'}`,
    slow !== null && `${number(slow)} cut as slow`,
    lag(figure(metrics, 'lag_p99_ns', 'lag_ns')),
  );
}

function writing({ venues, metrics }: PartStatus): string[] {
  const each = Object.values(venues ?? {});
  const behind = figure(metrics, 'lag_records') ?? most(each.map(({ lag_records }) => lag_records));
  return said(
    each.length > 0 && `${count(sum(each.map(({ rows_per_s }) => rows_per_s)))} rows/s`,
    behind !== null && `${count(behind)} behind`,
    lag(most(each.map(({ lag_ns }) => lag_ns))),
  );
}

function stored(recorder: PartStatus | undefined, now_ms: number): string[] {
  const tables = Object.values(recorder?.tables ?? {});
  const commit = moment_ms(recorder?.last_commit_ns);
  return said(
    tables.length > 0 && `${count(sum(tables.map(({ rows }) => rows)))} rows`,
    tables.length > 0 && bytes(sum(tables.map((table) => table.bytes))),
    commit !== null && `written ${age(Math.max(0, now_ms - commit))} ago`,
  );
}

export function Pipeline({ status }: { status: CollectionStatus }) {
  const now_ms = useSecond();
  return (
    <ol className="pipeline">
      {pipelineNodes(status, now_ms).map((node) => (
        <li key={node.name}>
          <div className="node">
            <div className="row medium" style={{ gap: 6 }}>
              {node.freshness && (
                <span className={`state state-${node.freshness}`}>
                  <FeedMark freshness={node.freshness} />
                  <span className="hidden">{node.freshness}</span>
                </span>
              )}
              {node.name}
            </div>
            <ul className="tertiary micro">
              {node.facts.length === 0 && <li>no figures</li>}
              {node.facts.map((fact) => (
                <li key={fact}>{fact}</li>
              ))}
            </ul>
          </div>
        </li>
      ))}
    </ol>
  );
}
