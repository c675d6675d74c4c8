import type { ReactNode } from "react";

import classes from "./EmptyState.module.css";

/** What a list shows when it has no rows: why, and what to do about it. */
export function EmptyState({ icon, title, children }: { icon?: ReactNode; title: string; children?: ReactNode }) {
  return (
    <div className={classes.empty}>
      {icon && <div className={classes.icon}>{icon}</div>}
      <div className={classes.title}>{title}</div>
      {children && <div className={classes.text}>{children}</div>}
    </div>
  );
}
