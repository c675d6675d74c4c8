import { lazy, Suspense } from "react";

import classes from "./Markdown.module.css";

const Rendered = lazy(() => import("./Rendered"));

/** Markdown from an agent, sanitised: no HTML, no scripts, no images from other hosts. May grow. */
export function Markdown({ source, growing = false }: { source: string; growing?: boolean }) {
  return (
    <div className={classes.markdown} data-growing={growing || undefined}>
      <Suspense fallback={<div className={classes.plain}>{source}</div>}>
        <Rendered source={source} />
      </Suspense>
    </div>
  );
}
