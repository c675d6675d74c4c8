import { useRouter, type ErrorComponentProps } from "@tanstack/react-router";

import { ErrorPanel, NotFound } from "@/shared/ui/ErrorPanel";

export function PageNotFound() {
  return <NotFound what="This page" />;
}

/** For a page that threw while it was drawn, or whose code could not be loaded. */
export function PageFailed({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return (
    <div style={{ maxWidth: 640, margin: "12vh auto", padding: 16 }}>
      <ErrorPanel error={error} title="This page could not be shown" retry={retry} />
    </div>
  );
}
