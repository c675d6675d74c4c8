import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";

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
  /** Called with the index of the moment that was clicked. */
  pick: (index: number) => void;
  height?: number;
}

/** Lines over time on a canvas, which stays fast with thousands of points. */
export function Chart({ label, times, lines, show, pick, height = 260 }: ChartProps) {
  const scheme = useComputedColorScheme("light");
  const frame = useRef<HTMLDivElement>(null);
  const picked = useRef(pick);
  picked.current = pick;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11.5px system-ui" };
    const chart = new UPlot(
      {
        width: element.clientWidth,
        height,
        padding: [12, 8, 0, 0],
        legend: { live: true },
        cursor: { points: { size: 7 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
        axes: [axis, { ...axis, size: 62, values: (_, ticks) => ticks.map(show) }],
        series: [
          {},
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
  }, [times, lines, show, height, scheme]);

  return <div ref={frame} className={classes.chart} role="img" aria-label={label} />;
}
