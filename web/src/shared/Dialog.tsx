import { type ReactNode, useLayoutEffect, useRef } from 'react';

/** The browser's own modal: it takes the focus at once, keeps it, and gives it back. */
export function Dialog(props: {
  open: boolean;
  label: string;
  className?: string;
  close(): void;
  children: ReactNode;
}) {
  const { open, label, className = '', close, children } = props;
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = element.current;
    if (!dialog || dialog.open === open) return;
    if (!open) {
      dialog.close();
      return;
    }
    dialog.showModal();
    const input = dialog.querySelector('input');
    input?.focus();
    input?.setSelectionRange(input.value.length, input.value.length);
  }, [open]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it; the click is the pointer's way
    <dialog
      ref={element}
      className={`dialog ${className}`}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => event.target === event.currentTarget && close()}
    >
      {open && children}
    </dialog>
  );
}
