import { sentence } from './format';

/** A sentence of the platform; what stands in `backticks` is to be typed, and looks so. */
export function Words({ text }: { text: string | null | undefined }) {
  return sentence(text)
    .split('`')
    .map((part, i) =>
      i % 2 === 0 ? (
        part
      ) : (
        <code
          className="mono"
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence never move
          key={i}
        >
          {part}
        </code>
      ),
    );
}
