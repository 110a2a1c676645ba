import type { ReactNode } from 'react';

/** A region that scrolls, by keyboard too. */
export function Scroll(props: { label: string; className?: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable without a pointer
    <section className={`scroll ${props.className ?? ''}`} tabIndex={0} aria-label={props.label}>
      {props.children}
    </section>
  );
}
