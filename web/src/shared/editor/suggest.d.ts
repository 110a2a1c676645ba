// The list of completions has no types of its own: it is imported for what it registers.
declare module 'monaco-editor/editor/contrib/suggest/browser/suggestController';
