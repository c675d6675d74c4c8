import { UnstyledButton } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";

import type { Run, Step } from "@gen/agentmesh/workflow/v1/workflow_pb";
import { count, dateOf, duration } from "@/shared/format";
import { STEP_STATUS, StatusBadge } from "@/shared/ui/StatusBadge";
import classes from "./Run.module.css";

const ROW = 44;

interface TimelineProps {
  run: Run;
  selected: string | undefined;
  select: (stepId: string) => void;
}

/** The steps in the order in which they began, each with a bar for the time in which it ran. */
export function Timeline({ run, selected, select }: TimelineProps) {
  const frame = useRef<HTMLDivElement>(null);
  const steps = [...run.steps].sort((a, b) => begin(a) - begin(b));
  const from = dateOf(run.createdAt)?.getTime() ?? 0;
  const to = Math.max(dateOf(run.finishedAt)?.getTime() ?? Date.now(), from + 1);
  const rows = useVirtualizer({ count: steps.length, getScrollElement: () => frame.current, estimateSize: () => ROW, overscan: 6 });
  return (
    <div ref={frame} className={classes.timeline} role="group" aria-label="Timeline of the steps">
      <div style={{ height: rows.getTotalSize(), position: "relative" }}>
        {rows.getVirtualItems().map(({ index, start }) => {
          const step = steps[index];
          if (!step) return null;
          return (
            <UnstyledButton
              key={step.taskId}
              className={classes.row}
              style={{ transform: `translateY(${start}px)`, height: ROW }}
              aria-current={step.taskId === selected || undefined}
              onClick={() => select(step.taskId)}
            >
              <span className={classes.rowHead}>
                <span className="truncate">{step.taskId}</span>
                {step.attempts > 1 && <span className="dim">{count(step.attempts, "attempt")}</span>}
                <span className={classes.spring} />
                <StatusBadge {...STEP_STATUS[step.status]} />
                <span className={`${classes.took} num dim`}>{took(step)}</span>
              </span>
              <span className={classes.track} aria-hidden>
                <Bar step={step} from={from} to={to} />
              </span>
            </UnstyledButton>
          );
        })}
      </div>
    </div>
  );
}

function begin(step: Step): number {
  return dateOf(step.startedAt)?.getTime() ?? Number.MAX_SAFE_INTEGER;
}

function took(step: Step): string {
  const [start, end] = [dateOf(step.startedAt), dateOf(step.finishedAt)];
  return start ? duration(((end?.getTime() ?? Date.now()) - start.getTime()) / 1000) : "";
}

function Bar({ step, from, to }: { step: Step; from: number; to: number }) {
  const start = dateOf(step.startedAt)?.getTime();
  if (start === undefined) return null;
  const end = dateOf(step.finishedAt)?.getTime() ?? to;
  const left = ((start - from) / (to - from)) * 100;
  const width = Math.max(((end - start) / (to - from)) * 100, 0.6);
  return <span className={classes.time} data-tone={STEP_STATUS[step.status].tone} style={{ marginLeft: `${Math.min(left, 99.4)}%`, width: `${width}%` }} />;
}
