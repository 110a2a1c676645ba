// Who may read: the printed address carries a one-use key in its fragment, which is exchanged for a cookie and then dropped.

import { ApiError, api } from '@/api/client';
import { sentence } from '@/shared/format';

export type SessionState = { signedIn: true } | { signedIn: false; reason: string | null };

/** Takes the key out of the address before anything else can copy, log or share it. */
function takeKey(): string | null {
  const key = new URLSearchParams(location.hash.slice(1)).get('key');
  if (key !== null) history.replaceState(history.state, '', location.pathname + location.search);
  return key;
}

/** Resolves once it is known whether this browser has a session; rejects where the platform does not answer. */
export async function openSession(): Promise<SessionState> {
  const key = takeKey();
  let reason: string | null = null;
  if (key !== null) {
    try {
      await api.openSession(key);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // The key was used, is old, or was cut while it was copied; an earlier session may still hold.
      reason = error.status === 422 ? 'The key in the address is not whole.' : sentence(error.body.message);
    }
  }
  try {
    await api.session();
    return { signedIn: true };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { signedIn: false, reason };
  }
}

const isRefusal = (error: unknown): error is ApiError =>
  error instanceof ApiError && error.status >= 400 && error.status < 500;
