export function Logo({ size = 22 }: { size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="var(--accent-text)"
      strokeLinecap="round"
      aria-hidden
    >
      <g strokeWidth={1.75} opacity={0.45}>
        <circle cx={12} cy={12} r={10} />
        <path d="M12 2v4.6M12 17.4V22M4.9 4.9l3 3M16.1 16.1l3 3M19.1 4.9l-3 3M7.9 16.1l-3 3" />
      </g>
      <path
        d="M2.2 13.6c2.4 0 2.6-2.6 4.9-2.6s2.6 2.6 4.9 2.6 2.6-2.6 4.9-2.6 2.6 2.6 4.9 2.6"
        strokeWidth={2}
      />
    </svg>
  );
}
