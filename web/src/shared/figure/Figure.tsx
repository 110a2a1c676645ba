import { type ReactNode, useLayoutEffect, useRef, useState } from 'react';
import './figure.css';

/** A drawing that fills its box, drawn again when the box has another size. */
export function Figure(props: {
  label: string;
  className?: string;
  children: (width: number, height: number) => ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [[width, height], setSize] = useState([0, 0]);
  useLayoutEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setSize([Math.floor(entry.contentRect.width), Math.floor(entry.contentRect.height)]);
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return (
    <div className={`figure ${props.className ?? ''}`} ref={box}>
      {width > 0 && height > 0 && (
        <svg width={width} height={height} role="img" aria-label={props.label}>
          {props.children(width, height)}
        </svg>
      )}
    </div>
  );
}
