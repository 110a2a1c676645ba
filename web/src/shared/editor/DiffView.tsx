import { useEffect, useRef } from 'react';
import { useLook, useNarrow } from '@/theme/ThemeProvider';
import { monaco, OPTIONS, showTheme } from './monaco';

/** Two texts beside each other, or one above the other where there is no room; nothing can be typed. */
export default function DiffView(props: { before: string; after: string; label: string }) {
  const { before, after, label } = props;
  const { mode } = useLook();
  const narrow = useNarrow();
  const room = useRef<HTMLDivElement>(null);
  const editor = useRef<monaco.editor.IStandaloneDiffEditor | null>(null);

  useEffect(() => {
    if (!room.current) return;
    const made = monaco.editor.createDiffEditor(room.current, {
      ...OPTIONS,
      readOnly: true,
      domReadOnly: true,
      originalEditable: false,
      renderOverviewRuler: false,
    });
    editor.current = made;
    return () => {
      const model = made.getModel();
      made.dispose();
      model?.original.dispose();
      model?.modified.dispose();
      editor.current = null;
    };
  }, []);

  useEffect(() => showTheme(mode), [mode]);
  useEffect(() => {
    editor.current?.updateOptions({ renderSideBySide: !narrow });
    editor.current?.getModifiedEditor().updateOptions({ ariaLabel: label });
    editor.current?.getOriginalEditor().updateOptions({ ariaLabel: `${label}, before` });
  }, [narrow, label]);

  useEffect(() => {
    const old = editor.current?.getModel();
    editor.current?.setModel({
      original: monaco.editor.createModel(before, 'python'),
      modified: monaco.editor.createModel(after, 'python'),
    });
    old?.original.dispose();
    old?.modified.dispose();
  }, [before, after]);

  return <div ref={room} className="code-editor" />;
}
