import { useSyncExternalStore } from "react";

/** A value that survives a reload, in this tab only. Components that `use` it render again when it changes. */
export function kept<T>(key: string, initial: T) {
  let value: T = JSON.parse(sessionStorage.getItem(key) ?? "null") ?? initial;
  const listeners = new Set<() => void>();

  function subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  return {
    get: () => value,
    set(next: T) {
      value = next;
      sessionStorage.setItem(key, JSON.stringify(next));
      listeners.forEach((listener) => listener());
    },
    use: () => useSyncExternalStore(subscribe, () => value),
  };
}
