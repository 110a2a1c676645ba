// The editor is told what strategies are written with.

import { monaco } from '@/shared/editor/monaco';
import { type Language, meaning, type Offer, offers } from './language';

const { CompletionItemKind: Kind, CompletionItemInsertTextRule: Rule } = monaco.languages;
const KINDS: Record<Offer['kind'], monaco.languages.CompletionItemKind> = {
  class: Kind.Class,
  function: Kind.Function,
  method: Kind.Method,
  property: Kind.Property,
  column: Kind.Field,
  indicator: Kind.Function,
  hook: Kind.Method,
  parameter: Kind.Variable,
  keyword: Kind.Keyword,
  variable: Kind.Variable,
};
const SHOW_PARAMS = { id: 'editor.action.triggerSuggest', title: 'Parameters' };

/** Offers and explains words until it is called. */
export function teach(language: Language): () => void {
  const completion = monaco.languages.registerCompletionItemProvider('python', {
    triggerCharacters: ['.', '('],
    provideCompletionItems(model, position) {
      const word = model.getWordUntilPosition(position);
      const range = new monaco.Range(
        position.lineNumber,
        word.startColumn,
        position.lineNumber,
        word.endColumn,
      );
      const before = model.getLineContent(position.lineNumber).slice(0, position.column - 1);
      return {
        suggestions: offers(language, before, model.getValue()).map((offer, at) => ({
          label: offer.label,
          kind: KINDS[offer.kind],
          detail: offer.detail,
          documentation: { value: offer.text },
          insertText: offer.insert,
          insertTextRules: Rule.InsertAsSnippet,
          sortText: String(at).padStart(5, '0'),
          range,
          ...(offer.kind === 'indicator' ? { command: SHOW_PARAMS } : {}),
        })),
      };
    },
  });
  const hover = monaco.languages.registerHoverProvider('python', {
    provideHover(model, position) {
      const word = model.getWordAtPosition(position);
      if (!word) return null;
      const before = model.getLineContent(position.lineNumber).slice(0, word.endColumn - 1);
      const found = meaning(language, before, model.getValue());
      if (!found) return null;
      return {
        range: new monaco.Range(position.lineNumber, word.startColumn, position.lineNumber, word.endColumn),
        contents: [{ value: `\`\`\`python\n${found.signature}\n\`\`\`` }, { value: found.text }],
      };
    },
  });
  return () => {
    completion.dispose();
    hover.dispose();
  };
}
