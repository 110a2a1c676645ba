import { useEffect, useMemo } from 'react';
import { Gallery } from '@/features/lab/Gallery';
import { LabPanel, NAMES } from '@/features/lab/LabPanel';
import '@/features/lab/lab.css';
import { useLab, useOpen } from '@/features/lab/queries';
import { type Command, useRegister } from '@/shared/command';
import { ErrorState, Panel, SkeletonRows } from '@/shared/Panel';
import { copyText } from '@/shared/toast';
import { usePhone } from '@/theme/ThemeProvider';
import '@/features/collection/collection.css';

/** Notebooks over this platform: what there is, and the way in. */
export function ResearchPage() {
  const phone = usePhone();
  const { data: lab, error, refetch } = useLab();
  const opening = useOpen();
  useEffect(() => {
    document.title = 'Research · Tidemill';
  }, []);
  useResearchCommands(lab?.kinds ?? [], opening);
  return (
    <div className="page">
      {!phone && (
        <div className="row page-head">
          <h1>Research</h1>
        </div>
      )}
      {lab ? (
        <div className="lab-grid">
          <Gallery lab={lab} opening={opening} />
          <LabPanel lab={lab} opening={opening} />
        </div>
      ) : (
        <Panel title="Notebooks">
          {error ? (
            <ErrorState what="Notebooks" error={error} retry={() => void refetch()} />
          ) : (
            <SkeletonRows rows={6} />
          )}
        </Panel>
      )}
    </div>
  );
}

function useResearchCommands(kinds: ('jupyter' | 'marimo')[], opening: ReturnType<typeof useOpen>): void {
  const { mutate } = opening;
  const known = kinds.join();
  const commands = useMemo(
    (): Command[] => [
      ...(['jupyter', 'marimo'] as const)
        .filter((kind) => known.split(',').includes(kind))
        .map((kind) => ({
          id: `lab.${kind}`,
          title: `Open ${NAMES[kind]}`,
          group: 'Research',
          words: 'notebook python kernel lab',
          run: () => mutate({ kind }),
        })),
      {
        id: 'lab.copy',
        title: 'Copy the command that starts a lab',
        group: 'Research',
        words: 'notebook terminal jupyter marimo',
        run: () => void copyText('tidemill lab', 'Command'),
      },
    ],
    [known, mutate],
  );
  useRegister(commands);
}
