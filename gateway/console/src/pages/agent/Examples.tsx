import { Button } from "@mantine/core";

import classes from "./Agent.module.css";

interface ExamplesProps {
  examples: readonly string[];
  use: (example: string) => void;
  run: (example: string) => void;
}

/** Inputs that show what the agent is good at: one click runs them. */
export function Examples({ examples, use, run }: ExamplesProps) {
  if (examples.length === 0) return null;
  return (
    <section aria-label="Examples">
      <h2 className={classes.smallHeading}>Examples</h2>
      <ul className={classes.examples}>
        {examples.map((example) => (
          <li key={example} className={classes.example}>
            <p>{example.replaceAll(/\s+/g, " ")}</p>
            <div>
              <Button size="compact-xs" variant="light" onClick={() => run(example)}>
                Run this
              </Button>
              <Button size="compact-xs" variant="subtle" color="gray" onClick={() => use(example)}>
                Edit first
              </Button>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
