import { Logo } from './Logo';

/** Without a session nothing can be read; a new link is one command away. */
export function SignedOut({ reason }: { reason: string | null }) {
  return (
    <main className="signed-out">
      <div>
        <Logo size={40} />
        <h1>
          Open Tidemill with <code className="mono">tidemill open</code>
        </h1>
        <p className="secondary">
          This browser has no session. Run the command on the machine where the platform runs: it opens this
          page with a one-use key.
        </p>
        {reason && <p className="small tertiary">{reason}</p>}
        <button type="button" className="button" onClick={() => location.reload()}>
          Try again
        </button>
      </div>
    </main>
  );
}
