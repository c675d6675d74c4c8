import { Button, Group } from "@mantine/core";
import { IconAlertTriangle, IconLock, IconRefresh, IconSearchOff } from "@tabler/icons-react";
import type { ReactNode } from "react";

import { problemOf, problemText, type Problem } from "@/api/errors";
import { duration } from "../format";
import { CopyButton } from "./CopyButton";
import { LinkButton } from "./LinkButton";
import classes from "./ErrorPanel.module.css";

interface ErrorPanelProps {
  error: unknown;
  /** What failed, e.g. `The agents could not be loaded`. */
  title?: string;
  retry?: () => void;
  children?: ReactNode;
}

/** The one way in which the console shows an error: what happened, what to do, and what to quote when reporting it. */
export function ErrorPanel({ error, ...rest }: ErrorPanelProps) {
  return <ProblemPanel problem={problemOf(error)} {...rest} />;
}

export function ProblemPanel({ problem, title, retry, children }: Omit<ErrorPanelProps, "error"> & { problem: Problem }) {
  const { message, code, requestId, advice, violations, retryAfterSeconds } = problem;
  return (
    <section className={classes.panel} role="alert" data-code={code}>
      <IconAlertTriangle size={18} className={classes.icon} aria-hidden />
      <div className={classes.body}>
        {title && <div className={classes.title}>{title}</div>}
        <div className={title ? undefined : classes.title}>{message}</div>
        {violations.length > 0 && (
          <ul className={classes.violations}>
            {violations.map(({ field, description }) => (
              <li key={`${field}-${description}`}>
                <code>{field}</code> {description}
              </li>
            ))}
          </ul>
        )}
        <div className={classes.advice}>
          {advice}
          {retryAfterSeconds ? ` Wait ${duration(retryAfterSeconds)}.` : ""}
        </div>
        <div className={classes.facts}>
          <span>
            Code <code>{code}</code>
          </span>
          {requestId && (
            <span>
              Request <code>{requestId}</code>
            </span>
          )}
          <CopyButton text={problemText(problem)} what="the error" />
        </div>
        {(retry || children) && (
          <Group gap="sm" mt="sm">
            {retry && (
              <Button size="compact-sm" variant="default" leftSection={<IconRefresh size={14} />} onClick={retry}>
                Try again
              </Button>
            )}
            {children}
          </Group>
        )}
      </div>
    </section>
  );
}

/** For an object that does not exist, or is not the caller's. */
export function NotFound({ what, children }: { what: string; children?: ReactNode }) {
  return (
    <div className={classes.whole}>
      <IconSearchOff size={28} aria-hidden />
      <h1>{what} was not found</h1>
      <p>It may have been deleted, the link may be incomplete, or it belongs to another user.</p>
      {children ?? (
        <LinkButton to="/marketplace" variant="default">
          Go to the marketplace
        </LinkButton>
      )}
    </div>
  );
}

/** For a page that the user's role does not allow. */
export function NoPermission({ what }: { what: string }) {
  return (
    <div className={classes.whole} role="alert">
      <IconLock size={28} aria-hidden />
      <h1>{what} is for administrators</h1>
      <p>Your account has the role of a user. Ask an administrator if you need access.</p>
      <LinkButton to="/marketplace" variant="default">
        Go to the marketplace
      </LinkButton>
    </div>
  );
}
