import { useId, useState } from 'react';
import type { Indicator } from '@/api/types';
import { Dialog } from '@/shared/Dialog';
import { useIndicatorList } from '@/shared/queries';
import { toast } from '@/shared/toast';
import '@/shared/form.css';
import {
  addIndicator,
  changeIndicator,
  defaultsOf,
  MOST,
  paramError,
  rangeText,
  removeIndicator,
  words,
} from './indicator';
import { closeIndicatorForm, useIndicatorForm } from './indicator-form';

/** What an indicator is, and its parameters; Enter adds it. */
export function IndicatorForm() {
  const { name, added } = useIndicatorForm();
  const list = useIndicatorList(name !== null);
  const indicator = list.data?.find((one) => one.name === name);
  const title = added ? `Change ${indicator?.title ?? name}` : `Add ${indicator?.title ?? name}`;
  return (
    <Dialog open={name !== null} label={title} className="indicator-form" close={closeIndicatorForm}>
      {indicator && <Fields key={`${name} ${added?.key}`} indicator={indicator} title={title} />}
      {!indicator && (
        <div className="indicator-body">
          <div className="strong">{list.isPending ? 'Loading' : `No indicator ${name}`}</div>
          <p className="small secondary">
            {list.error?.message ?? (list.isPending ? '' : 'This platform has none of this name.')}
          </p>
        </div>
      )}
    </Dialog>
  );
}

function Fields({ indicator, title }: { indicator: Indicator; title: string }) {
  const { added } = useIndicatorForm();
  const id = useId();
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(
      indicator.params.map(({ name, default: value }) => [name, String(added?.params[name] ?? value)]),
    ),
  );
  const wrong = indicator.params.filter((param) => paramError(param, texts[param.name] ?? '') !== null);
  const submit = () => {
    if (wrong.length > 0) return;
    const params = Object.fromEntries(indicator.params.map(({ name }) => [name, Number(texts[name])]));
    if (added) changeIndicator(added.key, { params });
    else if (!addIndicator(indicator.name, params))
      toast(`A chart has at most ${MOST} indicators: remove one first`, 'bad');
    closeIndicatorForm();
  };
  return (
    <form
      className="indicator-body form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div>
        <h2 className="strong">{title}</h2>
        <p className="small secondary">{indicator.description.replaceAll('`', '')}</p>
        <p className="micro tertiary">{indicator.source}</p>
      </div>
      {indicator.params.length > 0 ? (
        <div className="form-row">
          {indicator.params.map((param) => {
            const text = texts[param.name] ?? '';
            const error = paramError(param, text);
            return (
              <label key={param.name} className="field">
                <span>{words(param.name)}</span>
                <input
                  name={param.name}
                  inputMode={param.kind === 'int' ? 'numeric' : 'decimal'}
                  autoComplete="off"
                  value={text}
                  aria-invalid={error !== null}
                  aria-describedby={`${id}-${param.name}`}
                  onChange={(event) => setTexts({ ...texts, [param.name]: event.target.value })}
                />
                <span id={`${id}-${param.name}`} className={error ? 'field-error' : 'field-hint'}>
                  {error ?? rangeText(param)}
                </span>
              </label>
            );
          })}
        </div>
      ) : (
        <p className="small secondary">It has no parameters.</p>
      )}
      <div className="row indicator-actions">
        <button type="submit" className="button primary" disabled={wrong.length > 0}>
          {added ? 'Change' : 'Add to the chart'}
        </button>
        <button type="button" className="button quiet" onClick={closeIndicatorForm}>
          Cancel
        </button>
        <span className="space" />
        {added && (
          <>
            <button
              type="button"
              className="button quiet"
              onClick={() => {
                changeIndicator(added.key, { hidden: !added.hidden });
                closeIndicatorForm();
              }}
            >
              {added.hidden ? 'Show' : 'Hide'}
            </button>
            <button
              type="button"
              className="button quiet"
              onClick={() => {
                removeIndicator(added.key);
                closeIndicatorForm();
              }}
            >
              Remove
            </button>
          </>
        )}
        {!added && indicator.params.length > 0 && (
          <button
            type="button"
            className="button quiet"
            onClick={() =>
              setTexts(
                Object.fromEntries(
                  Object.entries(defaultsOf(indicator)).map(([name, value]) => [name, String(value)]),
                ),
              )
            }
          >
            Defaults
          </button>
        )}
      </div>
    </form>
  );
}
