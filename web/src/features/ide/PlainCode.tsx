import type { Mark } from '@/shared/editor/CodeEditor';
import { Scroll } from '@/shared/Scroll';

/** A text to be read, where there is no room to write. */
export function PlainCode({ text, marks, label }: { text: string; marks: Mark[]; label: string }) {
  const wrong = new Set(marks.filter(({ severity }) => severity === 'error').map(({ line }) => line));
  return (
    <Scroll label={label} className="plain-code">
      <pre className="mono">
        {text.split('\n').map((line, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a line is its number
          <code key={at} className={wrong.has(at + 1) ? 'wrong' : ''}>
            {line || ' '}
          </code>
        ))}
      </pre>
    </Scroll>
  );
}
