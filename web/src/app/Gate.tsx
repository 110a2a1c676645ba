import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect } from 'react';
import '@/features/shell/shell.css';
import { SignedOut } from '@/features/shell/SignedOut';
import { Waiting } from '@/features/shell/Waiting';
import { useEvents } from '@/shared/events';
import { ErrorState } from '@/shared/Panel';
import { useConfig } from '@/shared/queries';
import { stream, useFeed } from '@/shared/stream';
import { usePhone } from '@/theme/ThemeProvider';
import { openSession, type SessionState } from './session';

/** Lets nothing be drawn before it is known that this browser may read it. */
export function Gate({ session, children }: { session: Promise<SessionState>; children: ReactNode }) {
  const state = useQuery({
    queryKey: ['session'],
    // The first try uses the key of the address; later ones ask only whether there is a session.
    queryFn: ({ client }) => (client.getQueryState(['session'])?.errorUpdateCount ? openSession() : session),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    refetchInterval: (query) => (query.state.status === 'error' ? 2_000 : false),
  });
  const phone = usePhone();
  const refused = useFeed((feed) => feed.connection.state === 'signed_out');
  if (state.data && (!state.data.signedIn || refused)) {
    return <SignedOut reason={state.data.signedIn ? 'The session has ended.' : state.data.reason} />;
  }
  if (state.data) return <Started>{children}</Started>;
  if (!state.error) return <Waiting phone={phone} />;
  return (
    <main className="signed-out">
      <div className="panel" style={{ textAlign: 'left', minWidth: 320 }}>
        <ErrorState what="Tidemill" error={state.error} retry={() => void state.refetch()} />
      </div>
    </main>
  );
}

/** Opens the one stream of the page, where the platform says it is. */
function Started({ children }: { children: ReactNode }) {
  const path = useConfig().data?.stream;
  useEvents();
  useEffect(() => {
    if (path) stream.start(path);
  }, [path]);
  return children;
}
