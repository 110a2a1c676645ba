// What a page puts into the phone's top bar in place of its name.

import { type ReactNode, useEffect } from 'react';
import { create } from 'zustand';

export const usePhoneTitle = create<{ title: ReactNode }>(() => ({ title: null }));

export function useSetPhoneTitle(title: ReactNode): void {
  useEffect(() => {
    usePhoneTitle.setState({ title });
    return () => usePhoneTitle.setState({ title: null });
  }, [title]);
}
