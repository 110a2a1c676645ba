import { useEffect, useRef } from 'react';
import { useLook } from '@/theme/ThemeProvider';
import { monaco, OPTIONS, showTheme } from './monaco';

/** A mark in the text; lines and columns count from 1. */
export interface Mark {
  severity: 'error' | 'warning' | 'hint';
  message: string;
  code: string;
  line: number;
  column: number;
  end_line: number;
  end_column: number;
}

const SEVERITY = {
  error: monaco.MarkerSeverity.Error,
  warning: monaco.MarkerSeverity.Warning,
  hint: monaco.MarkerSeverity.Hint,
};

/** A place that the editor is asked to show; a new object is a new question. */
export interface Place {
  line: number;
  column: number;
}

/** Python in an editor. What was typed into a path can be undone for as long as the page lives. */
export default function CodeEditor(props: {
  /** Tells texts apart: `my_strategy.py`. */
  path: string;
  text: string;
  readOnly: boolean;
  label: string;
  marks: Mark[];
  place: Place | null;
  change(text: string): void;
}) {
  const { path, text, readOnly, label, marks, place } = props;
  const { mode } = useLook();
  const room = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneCodeEditor | null>(null);
  const change = useRef(props.change);
  change.current = props.change;

  useEffect(() => {
    if (!room.current) return;
    const made = monaco.editor.create(room.current, {
      ...OPTIONS,
      model: null,
      tabSize: 4,
      insertSpaces: true,
      bracketPairColorization: { enabled: false },
      quickSuggestions: { other: true, comments: false, strings: false },
      suggest: { showWords: false, showStatusBar: false },
    });
    editor.current = made;
    const typed = made.onDidChangeModelContent(() => change.current(made.getValue()));
    return () => {
      typed.dispose();
      made.dispose();
      editor.current = null;
    };
  }, []);

  useEffect(() => showTheme(mode), [mode]);

  useEffect(() => {
    editor.current?.updateOptions({
      readOnly,
      domReadOnly: readOnly,
      readOnlyMessage: { value: 'It cannot be changed here. Copy it to edit it.' },
      ariaLabel: `${label}. Control and M let Tab leave the editor.`,
    });
  }, [readOnly, label]);

  useEffect(() => {
    const uri = monaco.Uri.parse(`inmemory://tidemill/${path}`);
    const model = monaco.editor.getModel(uri) ?? monaco.editor.createModel(text, 'python', uri);
    // A text that came from elsewhere is one step that can be undone.
    if (model.getValue() !== text)
      model.pushEditOperations([], [{ range: model.getFullModelRange(), text }], () => null);
    if (editor.current && editor.current.getModel() !== model) editor.current.setModel(model);
  }, [path, text]);

  useEffect(() => {
    const model = editor.current?.getModel();
    if (!model) return;
    monaco.editor.setModelMarkers(
      model,
      'tidemill',
      marks.map((mark) => ({
        severity: SEVERITY[mark.severity],
        message: mark.message,
        code: mark.code,
        startLineNumber: mark.line,
        startColumn: mark.column,
        endLineNumber: mark.end_line,
        endColumn: mark.end_column,
        ...(mark.code === 'import_unused' ? { tags: [monaco.MarkerTag.Unnecessary] } : {}),
      })),
    );
  }, [marks]);

  useEffect(() => {
    if (!place || !editor.current) return;
    editor.current.setPosition({ lineNumber: place.line, column: place.column });
    editor.current.revealLineInCenterIfOutsideViewport(place.line);
    editor.current.focus();
  }, [place]);

  return <div ref={room} className="code-editor" />;
}
