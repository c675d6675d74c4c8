import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { dayAndTime } from "@/shared/format";
import classes from "./Analytics.module.css";

export interface Line {
  label: string;
  /** The name of a colour in tokens.css. */
  colour: string;
  /** One value for each moment; null leaves a gap. */
  values: readonly (number | null)[];
  /** Drawn thin and dashed: the period before. */
  past?: boolean;
}

interface ChartProps {
  /** What the chart shows, for screen readers. The same figures are in the table view. */
  label: string;
  /** Seconds since 1970. */
  times: readonly number[];
  lines: readonly Line[];
  show: (value: number) => string;
  /** Whether there are no fractions, as of counts. */
  whole: boolean;
  /** Called with the index of the moment that was clicked. */
  pick: (index: number) => void;
  height?: number;
}

const WHOLE_STEPS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** `14:00`, and at midnight the day: `21 Nov`. */
function momentOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return date.getHours() === 0 && date.getMinutes() === 0 ? DAY.format(date) : HOUR.format(date);
}

/** Lines over time on a canvas, which stays fast with thousands of points. */
export function Chart({ label, times, lines, show, whole, pick, height = 260 }: ChartProps) {
  const scheme = useComputedColorScheme("light");
  const frame = useRef<HTMLDivElement>(null);
  const picked = useRef(pick);
  picked.current = pick;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const chart = new UPlot(
      {
        width: element.clientWidth,
        height,
        padding: [12, 8, 0, 0],
        legend: { live: true },
        cursor: { points: { size: 7 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map(momentOf) },
          { ...axis, size: 62, values: (_, ticks) => ticks.map(show), ...(whole && { incrs: WHOLE_STEPS }) },
        ],
        series: [
          { label: "From", value: (_: UPlot, seconds: number | null) => (seconds === null ? "–" : dayAndTime(new Date(seconds * 1000))) },
          ...lines.map(({ label: name, colour: token, past }) => ({
            label: name,
            stroke: colour(token),
            width: past ? 1 : 2,
            ...(past ? { dash: [4, 4] } : { fill: `color-mix(in srgb, ${colour(token)} 9%, transparent)` }),
            points: { show: times.length === 1 },
            value: (_: UPlot, value: number | null) => (value === null ? "–" : show(value)),
          })),
        ],
      },
      [times, ...lines.map(({ values }) => values)] as unknown as UPlot.AlignedData,
      element,
    );
    const click = () => {
      const index = chart.cursor.idx;
      if (index !== null && index !== undefined) picked.current(index);
    };
    chart.over.addEventListener("click", click);
    const sizes = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }));
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      chart.destroy();
    };
  }, [times, lines, show, whole, height, scheme]);

  return <div ref={frame} className={classes.chart} role="img" aria-label={label} />;
}
