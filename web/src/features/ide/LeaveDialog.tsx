import { useState } from 'react';
import { Dialog } from '@/shared/Dialog';
import { useDrafts } from './draft';
import { useKeep } from './queries';
import { failureOf, Refusal } from './Refusal';

/** Asks before unsaved texts are left behind. */
export function LeaveDialog(props: { stay(): void; leave(): void }) {
  const drafts = useDrafts((state) => state.drafts);
  const { save } = useKeep();
  const [failed, setFailed] = useState<unknown>(null);
  const names = Object.keys(drafts);
  const saveAll = async () => {
    try {
      for (const [name, { text, version }] of Object.entries(drafts)) {
        await save.mutateAsync({ name, code: text, version });
      }
      props.leave();
    } catch (error) {
      setFailed(error);
    }
  };
  return (
    <Dialog open label="Not saved" className="ide-dialog" close={props.stay}>
      <div className="form">
        <h2>Leave without saving?</h2>
        <p>
          {names.join(', ')} {names.length === 1 ? 'has' : 'have'} changes that are not saved.
        </p>
        {failed !== null && <Refusal what="It was not saved" error={failureOf(failed)} />}
        <div className="row">
          <button type="button" className="button quiet" onClick={props.leave}>
            Leave without saving
          </button>
          <span className="space" />
          <button type="button" className="button" onClick={props.stay}>
            Stay
          </button>
          <button
            type="button"
            className="button primary"
            disabled={save.isPending}
            onClick={() => void saveAll()}
          >
            Save and leave
          </button>
        </div>
      </div>
    </Dialog>
  );
}
