/** Direction as a shape: the text face has no triangles. */
export function Triangle({ up }: { up: boolean }) {
  return (
    <svg width={8} height={7} viewBox="0 0 8 7" role="img" aria-label={up ? 'up' : 'down'}>
      <path d={up ? 'M4 0l4 7H0z' : 'M4 7l4-7H0z'} fill="currentColor" />
    </svg>
  );
}
