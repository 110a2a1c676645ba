// What can be written at a place of a strategy's text, and what a word in it means. The words come from the
// platform (GET /strategies/language); here they are only found. No editor in here: it is tested without one.

import type { Schemas } from '@/api/types';

export type Language = Schemas['StrategyLanguage'];
export type Word = Schemas['StrategyWord'];

export interface Offer {
  label: string;
  kind: Word['kind'] | 'parameter' | 'keyword' | 'variable';
  detail: string;
  text: string;
  /** What is typed, as a snippet: `$0` is where the cursor goes. */
  insert: string;
}

/** The class of what stands before a dot, and the outputs where it is an indicator with several. */
export interface Owner {
  name: string;
  outputs: string[];
}

const DEEP = 8;

const own = (name: string): Owner => ({ name, outputs: [] });

/** The expression that ends where the text does: `bars.macd(3, 4)` of `x = 1 + bars.macd(3, 4)`. */
export function expressionBefore(text: string): string {
  let at = text.length;
  while (at > 0) {
    const last = text[at - 1] ?? '';
    if (/[\w.]/.test(last)) {
      at--;
    } else if (last === ')' || last === ']') {
      const open = openingOf(text, at - 1);
      if (open < 0) break;
      at = open;
      // `(a / b)` stands for itself; `f(a)` and `x[0]` belong to what is before them.
      if (!/[\w)\]]/.test(text[at - 1] ?? '')) break;
    } else break;
  }
  return text.slice(at);
}

function openingOf(text: string, close: number): number {
  let depth = 0;
  for (let at = close; at >= 0; at--) {
    const letter = text[at] ?? '';
    if (letter === ')' || letter === ']') depth++;
    else if (letter === '(' || letter === '[') {
      depth--;
      if (depth === 0) return at;
    }
  }
  return -1;
}

/** The last part of an expression and what is before it: `['bars', 'macd', true]` of `bars.macd(3)`. */
function split(expression: string): { before: string; name: string; called: boolean; indexed: boolean } {
  let end = expression.length;
  let called = false;
  let indexed = false;
  while (/[)\]]$/.test(expression.slice(0, end))) {
    const open = openingOf(expression, end - 1);
    if (open < 0) break;
    if (expression[end - 1] === ']') indexed = true;
    else called = true;
    end = open;
  }
  const name = /\w*$/.exec(expression.slice(0, end))?.[0] ?? '';
  const dot = end - name.length - 1;
  return { before: expression[dot] === '.' ? expression.slice(0, dot) : '', name, called, indexed };
}

/** What an expression of the text is; null where nothing tells. */
export function ownerOf(expression: string, text: string, language: Language, deep = 0): Owner | null {
  if (deep > DEEP || expression === '') return null;
  if (expression.startsWith('(')) return own('Signal'); // a formula in parentheses
  const { before, name, called, indexed } = split(expression);
  if (before !== '') {
    if (before === 'self' && !called) {
      const kept = assigned(`self\\.${name}`, text);
      if (kept) return ownerOf(kept, text, language, deep + 1);
    }
    const owner = ownerOf(before, text, language, deep + 1);
    if (!owner) return null;
    if (owner.outputs.includes(name)) return own('Signal');
    const word = language.members[owner.name]?.find((one) => one.name === name);
    if (!word || word.gives === '') return null;
    return indexed && word.gives === 'Lines' ? own('Signal') : { name: word.gives, outputs: word.outputs };
  }
  if (name === 'self') return own('Strategy');
  if (called) {
    const word = language.names.find((one) => one.name === name);
    return word && word.gives !== '' ? own(word.gives) : null;
  }
  const annotated = new RegExp(`\\b${name}\\s*:\\s*(\\w+)`).exec(text)?.[1];
  if (annotated && annotated in language.members) return own(annotated);
  const value = assigned(`\\b${name}`, text);
  if (value) return ownerOf(value, text, language, deep + 1);
  const known = { bars: 'Bars', bar: 'Bar', fill: 'Fill', order: 'Order' }[name];
  return known ? own(known) : null;
}

/** The expression that was last given to a name. */
function assigned(pattern: string, text: string): string | null {
  const found = [...text.matchAll(new RegExp(`^[ \\t]*${pattern}[ \\t]*=[ \\t]*([^=\\n#][^\\n#]*)$`, 'gm'))];
  const value = found.at(-1)?.[1]?.trim();
  if (!value) return null;
  const whole = expressionBefore(value);
  // Of a sum of signals all that is known is that it is one.
  return whole === value ? value : /[+\-*/<>&|]/.test(value) ? '()' : null;
}

/** Parameters of the class and what its methods keep in `self`. */
function ofSelf(text: string): Offer[] {
  const params = [...text.matchAll(/^[ \t]+(\w+)\s*(?::[^=\n]+)?=\s*Param\(([^\n]*)\)\s*$/gm)].map(
    ([, name = '', told = '']): Offer => ({
      label: name,
      kind: 'parameter',
      detail: `Param(${told})`,
      text: 'A parameter of this strategy.',
      insert: name,
    }),
  );
  const kept = new Set([...text.matchAll(/\bself\.(\w+)\s*=[^=]/g)].map(([, name = '']) => name));
  return [
    ...params,
    ...[...kept].map(
      (name): Offer => ({ label: name, kind: 'variable', detail: `self.${name}`, text: '', insert: name }),
    ),
  ];
}

const offerOf = (word: Word): Offer => ({
  label: word.name,
  kind: word.kind,
  detail: word.signature,
  text: word.text,
  insert: insertOf(word),
});

function insertOf(word: Word): string {
  if (['class', 'property', 'column'].includes(word.kind)) return word.name;
  return word.params.length === 0 && word.signature.startsWith(`${word.name}()`)
    ? `${word.name}()`
    : `${word.name}($0)`;
}

/** A function that a strategy overrides, as its first line is written. */
function hookOf(word: Word): Offer {
  const inside = word.signature.slice(word.name.length + 1);
  const takes = inside.startsWith(')') ? `self${inside}` : `self, ${inside}`;
  const whole = takes.includes(' -> ') ? takes : `${takes} -> None`;
  return { ...offerOf(word), insert: `${word.name}(${whole}:\n    $0` };
}

/** The call that a text ends in, where its parenthesis is still open: `bars.rsi` of `bars.rsi(per`. */
export function openCall(before: string): string | null {
  let depth = 0;
  for (let at = before.length - 1; at >= 0; at--) {
    const letter = before[at] ?? '';
    if (letter === ')' || letter === ']') depth++;
    else if (letter === '(' || letter === '[') {
      if (depth === 0) return letter === '(' ? expressionBefore(before.slice(0, at)) || null : null;
      depth--;
    }
  }
  return null;
}

function wordOf(expression: string, text: string, language: Language): Word | null {
  const { before, name } = split(expression);
  if (before === '') return language.names.find((one) => one.name === name) ?? null;
  const owner = ownerOf(before, text, language);
  return (owner && language.members[owner.name]?.find((one) => one.name === name)) ?? null;
}

/** What can be written after `before`, the line as far as the cursor. */
export function offers(language: Language, before: string, text: string): Offer[] {
  if (/(^|[^\\])#/.test(before.replace(/(["']).*?\1/g, ''))) return [];
  const member = /\.\w*$/.exec(before);
  if (member) {
    const owner = ownerOf(expressionBefore(before.slice(0, member.index)), text, language);
    if (!owner) return [];
    const words = (language.members[owner.name] ?? []).filter((one) => one.kind !== 'hook').map(offerOf);
    const outputs = owner.outputs.map(
      (name): Offer => ({
        label: name,
        kind: 'property',
        detail: 'Signal',
        text: 'An output of the indicator.',
        insert: name,
      }),
    );
    if (owner.name === 'Strategy') return [...ofSelf(text), ...words];
    return owner.outputs.length > 0 ? outputs : words;
  }
  if (/^\s+def \w*$/.test(before)) {
    return (language.members.Strategy ?? []).filter((one) => one.kind === 'hook').map(hookOf);
  }
  if (/^\s*from tidemill\.strategy import [\w, ]*$/.test(before)) {
    return language.names.map((word) => ({ ...offerOf(word), insert: word.name }));
  }
  const call = openCall(before);
  const called = call ? wordOf(call, text, language) : null;
  const params = (called?.params ?? []).map(
    (name): Offer => ({
      label: `${name}=`,
      kind: 'parameter',
      detail: called?.signature ?? '',
      text: called?.text ?? '',
      insert: `${name}=`,
    }),
  );
  const plain = (name: string, kind: Offer['kind']): Offer => ({
    label: name,
    kind,
    detail: '',
    text: '',
    insert: name,
  });
  const taken = new Set([...language.names.map(({ name }) => name), ...language.keywords]);
  const typed = /\w*$/.exec(before)?.[0];
  const words = [...new Set(text.match(/\b[a-zA-Z_]\w{2,}\b/g) ?? [])].filter(
    (name) => !taken.has(name) && name !== typed,
  );
  return [
    ...params,
    ...language.names.map(offerOf),
    ...language.keywords.map((name) => plain(name, 'keyword')),
    ...words.slice(0, 500).map((name) => plain(name, 'variable')),
    ...language.builtins.filter((name) => !words.includes(name)).map((name) => plain(name, 'function')),
  ];
}

/** What the word means that ends where `before` does. */
export function meaning(language: Language, before: string, text: string): Word | null {
  const expression = expressionBefore(before);
  const name = /\w+$/.exec(expression)?.[0];
  if (!name) return null;
  if (!expression.endsWith(`.${name}`)) {
    const hook = /^\s+def \w+$/.test(before)
      ? language.members.Strategy?.find((one) => one.kind === 'hook' && one.name === name)
      : undefined;
    return hook ?? language.names.find((one) => one.name === name) ?? null;
  }
  return wordOf(expression, text, language);
}
