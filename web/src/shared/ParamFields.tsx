import type { StrategyParam } from '@/api/types';
import './form.css';

/** What a parameter may be, in words. */
export function rangeText({ kind, low, high, choices }: StrategyParam): string {
  if (choices.length > 0) return choices.map(String).join(', ');
  const word = { int: 'whole number', float: 'number', bool: 'true or false', str: 'text' }[kind];
  if (low === null && high === null) return word;
  return `${word} ${low === null ? '' : `from ${low} `}${high === null ? '' : `to ${high}`}`.trim();
}

/** Whether the text is a value of the parameter. */
export function fits({ kind, low, high, choices }: StrategyParam, text: string): boolean {
  if (choices.length > 0) return choices.map(String).includes(text);
  if (kind === 'str') return text !== '';
  if (kind === 'bool') return text === 'true' || text === 'false';
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || (kind === 'int' && !Number.isInteger(value)))
    return false;
  return (low === null || value >= low) && (high === null || value <= high);
}

/** Texts of the fields as values of the parameters; those that are left empty keep their defaults. */
export function valuesOf(
  params: StrategyParam[],
  texts: Record<string, string>,
): Record<string, number | boolean | string> {
  const found: Record<string, number | boolean | string> = {};
  for (const { name, kind } of params) {
    const text = texts[name];
    if (text === undefined || text === '') continue;
    found[name] =
      kind === 'int' || kind === 'float' ? Number(text) : kind === 'bool' ? text === 'true' : text;
  }
  return found;
}

/** A field for each parameter, its default in grey. */
export function ParamFields(props: {
  params: StrategyParam[];
  texts: Record<string, string>;
  set(name: string, text: string): void;
}) {
  const { params, texts, set } = props;
  return (
    <div className="form-row">
      {params.map((param) => {
        const text = texts[param.name] ?? '';
        const wrong = text !== '' && !fits(param, text);
        const id = `param-${param.name}`;
        return (
          <div className="field" key={param.name}>
            <label className="field-name" htmlFor={id}>
              {param.name}
            </label>
            {param.choices.length > 0 || param.kind === 'bool' ? (
              <select
                id={id}
                value={text || String(param.default)}
                onChange={({ target }) => set(param.name, target.value)}
              >
                {(param.kind === 'bool' ? ['true', 'false'] : param.choices.map(String)).map((choice) => (
                  <option key={choice}>{choice}</option>
                ))}
              </select>
            ) : (
              <input
                id={id}
                inputMode="decimal"
                placeholder={String(param.default)}
                value={text}
                aria-invalid={wrong}
                onChange={({ target }) => set(param.name, target.value)}
              />
            )}
            <span className={wrong ? 'field-error' : 'field-hint'}>{param.help || rangeText(param)}</span>
          </div>
        );
      })}
    </div>
  );
}
