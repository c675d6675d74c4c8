import { useEffect, useRef, useState } from "react";

/** State that survives a reload, under a name that the tabs share. Typing is written when it pauses. */
export function useStored<T>(name: string, initial: T): [T, (value: T) => void] {
  const key = `agentmesh.${name}`;
  const [state, setState] = useState(() => ({ key, value: read(key, initial) }));
  const value = state.key === key ? state.value : read(key, initial);
  if (state.key !== key) setState({ key, value });

  const latest = useRef(value);
  latest.current = value;
  const changed = useRef(false);
  useEffect(() => {
    if (!changed.current) return;
    const timer = setTimeout(() => write(key, latest.current), 300);
    return () => {
      clearTimeout(timer);
      write(key, latest.current);
    };
  }, [key, value]);
  const set = (next: T) => {
    changed.current = true;
    setState({ key, value: next });
  };
  return [value, set];
}

function read<T>(key: string, initial: T): T {
  try {
    const text = localStorage.getItem(key);
    return text === null ? initial : (JSON.parse(text) as T);
  } catch {
    return initial;
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The storage is full or forbidden: the draft then does not survive a reload.
  }
}
