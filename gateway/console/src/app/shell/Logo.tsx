/** Three nodes and the mesh between them. */
export function Logo({ size = 22 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" aria-hidden>
      <path d="M6 17.5 12 6l6 11.5M6 17.5h12M12 6v6.6M6 17.5l6-4.9 6 4.9" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" opacity="0.55" />
      <circle cx="12" cy="5.6" r="2.6" fill="var(--accent)" />
      <circle cx="5.6" cy="17.8" r="2.6" fill="var(--accent)" />
      <circle cx="18.4" cy="17.8" r="2.6" fill="var(--accent)" />
      <circle cx="12" cy="12.8" r="1.7" fill="currentColor" />
    </svg>
  );
}
