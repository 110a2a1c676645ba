import { number } from '@/shared/format';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { GapList } from './GapList';
import { useGaps } from './queries';

/** The gap ledger: how many there are, how many go on, and the newest of them. */
export function GapPanel() {
  const gaps = useGaps();
  const open = gaps.data?.items.filter((gap) => gap.ended_at === null).length ?? 0;
  return (
    <Panel
      title="Gaps"
      className="gaps"
      note={
        gaps.data && gaps.data.items.length > 0
          ? `${number(gaps.data.items.length)}${gaps.data.next === null ? '' : ' newest'}, ${number(open)} open`
          : ''
      }
    >
      {gaps.data ? (
        <GapList gaps={gaps.data.items} />
      ) : gaps.error ? (
        <ErrorState what="Gaps" error={gaps.error} retry={() => void gaps.refetch()} />
      ) : (
        <SkeletonRows rows={3} />
      )}
    </Panel>
  );
}
