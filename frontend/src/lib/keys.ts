// Keys by their place on the keyboard (`event.code`): under a Korean input method P says ㅔ, but stays KeyP.

export type KeyMap = Readonly<Record<string, (event: KeyboardEvent) => void>>;

const TYPED_INTO = "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";
// These answer Enter and Space themselves.
const PRESSED = "button, a[href], summary, [role=button], [role=radio], [role=option]";

/** `Ctrl+Shift+KeyZ`; Command counts as Ctrl. */
export function nameOf(event: KeyboardEvent): string {
  const code = event.code.replace(/^Numpad(?=\d$)/, "Digit").replace("NumpadEnter", "Enter");
  return [
    event.ctrlKey || event.metaKey ? "Ctrl+" : "",
    event.altKey ? "Alt+" : "",
    event.shiftKey ? "Shift+" : "",
    code,
  ].join("");
}

/** Whether the key belongs to what is focused, which answers it itself: a button that Enter presses. */
export function pressesFocused(event: KeyboardEvent): boolean {
  const name = nameOf(event);
  return (name === "Enter" || name === "Space") && event.target instanceof Element && event.target.closest(PRESSED) !== null;
}

/** Calls what `maps` (the first that knows the key) says for each key pressed, until the returned function is called. */
export function onKeys(maps: () => readonly KeyMap[]): () => void {
  const listen = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const name = nameOf(event);
    const target = event.target instanceof Element ? event.target : null;
    const always = name.startsWith("Ctrl+Enter") || name === "Escape";
    if (!always && target?.closest(TYPED_INTO)) return;
    if (pressesFocused(event)) return;
    for (const map of maps()) {
      const action = map[name];
      if (!action) continue;
      event.preventDefault();
      action(event);
      return;
    }
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}

/** How a key's name is shown to people. */
export function shown(name: string): string {
  return name
    .replace(/Key(?=[A-Z]$)|Digit(?=\d$)/, "")
    .replace("BracketLeft", "[")
    .replace("BracketRight", "]")
    .replace("Comma", ",")
    .replace("Period", ".")
    .replace("Slash", "/")
    .replace("Shift+/", "?")
    .replace("Equal", "+")
    .replace("Minus", "−")
    .replace("Escape", "Esc")
    .replace("Delete", "Del")
    .replace("Backspace", "⌫")
    .replace("ArrowLeft", "←")
    .replace("ArrowRight", "→")
    .replace("ArrowUp", "↑")
    .replace("ArrowDown", "↓");
}
