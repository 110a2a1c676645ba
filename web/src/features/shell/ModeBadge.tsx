import { FileText, FlaskConical, type LucideIcon, Radio, Rewind } from 'lucide-react';
import type { Mode } from '@/api/types';

const ICONS: Record<Mode, LucideIcon> = {
  SIMULATED: FlaskConical,
  REPLAY: Rewind,
  PAPER: FileText,
  LIVE: Radio,
};

const MEANING: Record<Mode, string> = {
  SIMULATED: 'Prices are made up by the simulated venues of this platform.',
  REPLAY: 'Recorded data is being played back.',
  PAPER: 'Live data; orders are filled by simulation.',
  LIVE: 'Live data and real money.',
};

/** Says what kind of world the numbers are from. Always visible. */
export function ModeBadge({ mode }: { mode: Mode }) {
  const Icon = ICONS[mode] ?? FlaskConical;
  return (
    <span className={`mode mode-${mode.toLowerCase()}`} title={MEANING[mode]}>
      <Icon size={12} strokeWidth={2} aria-hidden />
      <span className="hidden">Mode: </span>
      {mode}
    </span>
  );
}
