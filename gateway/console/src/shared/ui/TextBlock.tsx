import classes from "./TextBlock.module.css";

/** A text as it was written, in a box that scrolls, also with the keyboard. */
export function TextBlock({ label, text }: { label: string; text: string }) {
  return (
    <div className={classes.text} tabIndex={0} role="group" aria-label={label}>
      {text}
    </div>
  );
}
