import type { StrategyParam } from '@/api/types';
import { ParamFields } from '@/shared/ParamFields';
import { INTERVALS, type Setup, useSetup } from './setup';

/** Parameters with their ranges, what it runs on, and what trading costs. */
export function SetupPanel(props: {
  name: string;
  params: StrategyParam[];
  instruments: string[];
  wrong: string | null;
}) {
  const { name, params, instruments, wrong } = props;
  const setup = useSetup();
  const set = (change: Partial<Setup>) => useSetup.setState(change);
  const texts = setup.params[name] ?? {};
  const first = instruments[0] ?? '';
  return (
    <div className="form panel-body ide-setup">
      <section aria-label="Parameters">
        <h3>Parameters</h3>
        {params.length === 0 ? (
          <p className="small tertiary">
            None. <span className="mono">fast = Param(20, low=2, high=200)</span> in the class makes one.
          </p>
        ) : (
          <ParamFields
            params={params}
            texts={texts}
            set={(param, text) => set({ params: { ...setup.params, [name]: { ...texts, [param]: text } } })}
          />
        )}
      </section>
      <section aria-label="Data">
        <h3>Data</h3>
        <label className="field">
          <span>Instrument</span>
          <input
            list="ide-instruments"
            placeholder={first || 'BTC-USD.kraken'}
            value={setup.instrument}
            spellCheck={false}
            onChange={({ target }) => set({ instrument: target.value.trim() })}
          />
          <datalist id="ide-instruments">
            {instruments.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        </label>
        <div className="form-row two">
          <label className="field">
            <span>Others beside it</span>
            <input
              placeholder="none"
              value={setup.others}
              spellCheck={false}
              onChange={({ target }) => set({ others: target.value })}
            />
          </label>
          <label className="field">
            <span>Interval</span>
            <select value={setup.interval} onChange={({ target }) => set({ interval: target.value })}>
              {INTERVALS.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
        </div>
        <div className="form-row two">
          <label className="field">
            <span>First day, UTC</span>
            <input type="date" value={setup.start} onChange={({ target }) => set({ start: target.value })} />
          </label>
          <label className="field">
            <span>Last day, UTC</span>
            <input type="date" value={setup.end} onChange={({ target }) => set({ end: target.value })} />
          </label>
        </div>
      </section>
      <section aria-label="Costs">
        <h3>Costs</h3>
        <div className="form-row two">
          <label className="field">
            <span>Fee, a share</span>
            <input
              inputMode="decimal"
              value={setup.taker}
              onChange={({ target }) => set({ taker: target.value.trim() })}
            />
          </label>
          <label className="field">
            <span>Slippage, bps</span>
            <input
              inputMode="decimal"
              value={setup.slippage_bps}
              onChange={({ target }) => set({ slippage_bps: target.value.trim() })}
            />
          </label>
        </div>
      </section>
      {wrong !== null && <p className="field-error">{wrong}</p>}
    </div>
  );
}
