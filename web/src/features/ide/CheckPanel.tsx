import { CircleCheck, ShieldCheck } from 'lucide-react';
import { date, msOfNs, number, timeOfDay } from '@/shared/format';
import { Scroll } from '@/shared/Scroll';
import { useSettings } from '@/shared/settings';
import type { Checked } from './outcome';
import { Refusal } from './Refusal';

const WAY = {
  again: 'in a second run on the same bars',
  cut: 'where later bars are not there',
  moved: 'where the same bars are moved by twenty years',
};

/** Whether it looks ahead, and from which bar on its signals count. */
export function CheckPanel(props: {
  checked: Checked;
  /** The text was changed since. */
  old: boolean;
  instrument: string;
  check(stored: boolean): void;
}) {
  const { checked, old, instrument, check } = props;
  const zone = useSettings((settings) => settings.zone);
  const { busy, result, error } = checked;
  const again = (
    <div className="row ide-again">
      <button type="button" className="button s" disabled={busy} onClick={() => check(false)}>
        Check on made-up prices
      </button>
      {instrument !== '' && (
        <button type="button" className="button s" disabled={busy} onClick={() => check(true)}>
          Check on {instrument}
        </button>
      )}
      {old && result && <span className="small state-stale">The text was changed since.</span>}
    </div>
  );
  if (busy) {
    return (
      <div className="ide-waiting" role="status">
        <span className="small">Run again, cut and moved: that takes a few seconds …</span>
        <progress aria-label="Progress of the check" />
      </div>
    );
  }
  if (error) {
    return (
      <Refusal what="It was not checked" error={error}>
        {again}
      </Refusal>
    );
  }
  if (!result) {
    return (
      <div className="empty">
        <ShieldCheck size={18} className="tertiary" aria-hidden />
        <p>A check runs it again on the same bars, on fewer, and on moved ones: it must decide the same.</p>
        {again}
      </div>
    );
  }
  return (
    <Scroll label="Check" className="panel-body ide-check">
      {again}
      {result.problems.length > 0 && result.runs === 0 ? (
        <Refusal
          what="Its code fails"
          error={{ message: result.problems[0]?.message ?? '', code: result.problems[0]?.code ?? '' }}
        />
      ) : (
        <>
          <p className="row">
            {result.findings.length === 0 ? (
              <>
                <CircleCheck size={16} className="state-live" aria-hidden />
                <span className="strong">No look-ahead found</span>
              </>
            ) : (
              <span className="strong state-error">It decides by more than it is told</span>
            )}
          </p>
          <p className="small secondary">
            {number(result.decisions)} decisions on {number(result.bars)} bars of{' '}
            {result.instruments.join(', ')}, {result.runs} runs.{' '}
            {result.warm_up === null
              ? 'Its signals depend on where they began.'
              : `Its signals can be relied on after ${number(result.warm_up)} bars.`}
            {result.decisions === 0 && ' It decided nothing: there was nothing to see on these bars.'}
          </p>
          {result.findings.length > 0 && (
            <table>
              <thead>
                <tr>
                  <th>Bar known at</th>
                  <th>Decides otherwise</th>
                  <th>First</th>
                  <th>Then</th>
                </tr>
              </thead>
              <tbody>
                {result.findings.map((one, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: findings never move
                  <tr key={at}>
                    <td>
                      {date(msOfNs(String(one.ts)), zone)} {timeOfDay(msOfNs(String(one.ts)), zone)}
                    </td>
                    <td>{WAY[one.way]}</td>
                    <td className="mono">{one.whole}</td>
                    <td className="mono">{one.other}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </>
      )}
    </Scroll>
  );
}
