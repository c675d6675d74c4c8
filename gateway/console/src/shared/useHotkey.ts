import { useEffect, useRef } from "react";

/** Whether the user is typing into something, so that a single key is not a command. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Calls `handler` for ⌘ or Ctrl with `key`, or for `key` alone (`withMod` false) while the user is not typing. */
export function useHotkey(key: string, handler: () => void, withMod = true): void {
  const latest = useRef(handler);
  latest.current = handler;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== key.toLowerCase() || event.altKey) return;
      if ((event.metaKey || event.ctrlKey) !== withMod) return;
      if (!withMod && isTyping(event.target)) return;
      event.preventDefault();
      latest.current();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [key, withMod]);
}
