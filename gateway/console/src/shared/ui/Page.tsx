import { useEffect, type ReactNode } from "react";

import classes from "./Page.module.css";

interface PageProps {
  /** The heading, and the title of the browser's tab. */
  title: string;
  /** One line under the heading. */
  subtitle?: ReactNode;
  /** Above the heading, e.g. a link back to the list. */
  above?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** Pages that fill the window and scroll inside. */
  fill?: boolean;
}

export function Page({ title, subtitle, above, actions, children, fill = false }: PageProps) {
  useEffect(() => {
    document.title = `${title} · AgentMesh`;
  }, [title]);
  return (
    <div className={classes.page} data-fill={fill || undefined}>
      <header className={classes.header}>
        <div className={classes.titles}>
          {above && <div className={classes.above}>{above}</div>}
          <h1 className={classes.title}>{title}</h1>
          {subtitle && <div className={classes.subtitle}>{subtitle}</div>}
        </div>
        {actions && <div className={classes.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** A titled part of a page. */
export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className={classes.section}>
      <div className={classes.sectionHead}>
        <h2>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** Pairs of a name and a value. */
export function Facts({ items }: { items: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={classes.facts}>
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
