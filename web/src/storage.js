// GraphiQL stores operations, variables and history. Variables can name patients, so all of it lives in
// memory and ends with the page; only the colour theme is kept.
const KEPT = new Set(['graphiql:theme']);

/** A `Storage` for GraphiQL; `kept` is where the theme goes. */
export function createStorage(kept = localStorage) {
  const memory = new Map();
  return {
    get length() {
      return memory.size;
    },
    getItem: (key) => (KEPT.has(key) ? kept.getItem(key) : (memory.get(key) ?? null)),
    setItem: (key, value) => (KEPT.has(key) ? kept.setItem(key, value) : void memory.set(key, value)),
    removeItem: (key) => (KEPT.has(key) ? kept.removeItem(key) : void memory.delete(key)),
    clear: () => memory.clear(),
  };
}
