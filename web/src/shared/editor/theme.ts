// The editor's colours, from the same tokens as everything else.

import { type Colors, colors, type Mode } from '@/theme/themes';

export interface EditorTheme {
  base: 'vs' | 'vs-dark';
  inherit: boolean;
  rules: { token: string; foreground: string; fontStyle?: string }[];
  colors: Record<string, string>;
}

const hex = (color: string): string => color.slice(1);

export function editorTheme(mode: Mode): EditorTheme {
  const c: Colors = colors(mode);
  return {
    base: mode === 'dark' ? 'vs-dark' : 'vs',
    inherit: true,
    rules: [
      { token: '', foreground: hex(c['text.primary']) },
      { token: 'comment', foreground: hex(c['text.tertiary']) },
      { token: 'string', foreground: hex(c['state.live']) },
      { token: 'string.escape', foreground: hex(c['state.live']) },
      { token: 'number', foreground: hex(c['state.stale']) },
      { token: 'keyword', foreground: hex(c['accent.text']) },
      { token: 'tag', foreground: hex(c['state.gap']) },
      { token: 'type', foreground: hex(c['state.repaired']) },
      ...['delimiter', 'delimiter.parenthesis', 'delimiter.bracket', 'delimiter.curly'].map((token) => ({
        token,
        foreground: hex(c['text.secondary']),
      })),
    ],
    colors: {
      'editor.background': c['bg.panel'],
      'editor.foreground': c['text.primary'],
      'editor.lineHighlightBackground': c['bg.hover'],
      'editor.lineHighlightBorder': '#00000000',
      'editor.selectionBackground': c['bg.selected'],
      'editor.inactiveSelectionBackground': c['bg.selected'],
      'editorCursor.foreground': c['accent.text'],
      'editorLineNumber.foreground': c['text.tertiary'],
      'editorLineNumber.activeForeground': c['text.primary'],
      'editorIndentGuide.background1': c['line.subtle'],
      'editorIndentGuide.activeBackground1': c['line.default'],
      'editorBracketMatch.background': c['bg.selected'],
      'editorBracketMatch.border': c['line.strong'],
      ...Object.fromEntries(
        [1, 2, 3, 4, 5, 6].map((depth) => [`editorBracketHighlight.foreground${depth}`, c['text.secondary']]),
      ),
      'editorError.foreground': c['state.error'],
      'editorWarning.foreground': c['state.stale'],
      'editorHint.foreground': c['text.tertiary'],
      'editorGutter.background': c['bg.panel'],
      'editorWidget.background': c['bg.overlay'],
      'editorWidget.border': c['line.default'],
      'editorHoverWidget.background': c['bg.overlay'],
      'editorHoverWidget.border': c['line.default'],
      'editorSuggestWidget.background': c['bg.overlay'],
      'editorSuggestWidget.border': c['line.default'],
      'editorSuggestWidget.selectedBackground': c['bg.selected'],
      'editorSuggestWidget.highlightForeground': c['accent.text'],
      'editorSuggestWidget.focusHighlightForeground': c['accent.text'],
      'list.hoverBackground': c['bg.hover'],
      'scrollbarSlider.background': `${c['line.strong']}55`,
      'scrollbarSlider.hoverBackground': `${c['line.strong']}88`,
      'scrollbarSlider.activeBackground': `${c['line.strong']}aa`,
      'scrollbar.shadow': '#00000000',
      'diffEditor.insertedTextBackground': `${c['up.default']}2e`,
      'diffEditor.removedTextBackground': `${c['down.default']}2e`,
      'diffEditor.insertedLineBackground': `${c['up.default']}1a`,
      'diffEditor.removedLineBackground': `${c['down.default']}1a`,
      focusBorder: c['focus.ring'],
    },
  };
}
