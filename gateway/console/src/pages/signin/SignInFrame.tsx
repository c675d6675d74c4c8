import { useEffect, type ReactNode } from "react";

import { Logo } from "@/app/shell/Logo";
import classes from "./SignIn.module.css";

export function SignInFrame({ title, lead, children, foot }: { title: string; lead: string; children: ReactNode; foot: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · AgentMesh`;
  }, [title]);
  return (
    <main className={classes.screen}>
      <div className={classes.card}>
        <div className={classes.brand}>
          <Logo size={26} />
          AgentMesh
        </div>
        <h1 className={classes.title}>{title}</h1>
        <p className={classes.lead}>{lead}</p>
        {children}
        <p className={classes.foot}>{foot}</p>
      </div>
    </main>
  );
}
