import { useEffect, useState } from "react";

import { isFinal } from "@/api/streams/runState";
import type { Run } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { dateOf, duration } from "@/shared/format";

/** How long the run has taken, counting on while it runs. */
export function Elapsed({ run }: { run: Run }) {
  const running = !isFinal(run);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  const began = dateOf(run.createdAt);
  if (!began) return null;
  const ended = dateOf(run.finishedAt)?.getTime() ?? now;
  const seconds = Math.max(0, (ended - began.getTime()) / 1000);
  return <span className="dim num">{running ? `${Math.floor(seconds)} s` : duration(seconds)}</span>;
}
