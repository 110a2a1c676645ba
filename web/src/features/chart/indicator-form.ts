// Which indicator's parameters are being asked for.

import { create } from 'zustand';
import type { Added } from './indicator';

interface Form {
  /** Name of the indicator; null while nothing is asked. */
  name: string | null;
  /** The one that is changed; null for a new one. */
  added: Added | null;
}

export const useIndicatorForm = create<Form>(() => ({ name: null, added: null }));

export const askIndicator = (name: string): void => useIndicatorForm.setState({ name, added: null });

export const editIndicator = (added: Added): void => useIndicatorForm.setState({ name: added.name, added });

export const closeIndicatorForm = (): void => useIndicatorForm.setState({ name: null, added: null });
