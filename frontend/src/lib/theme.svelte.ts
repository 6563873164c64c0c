// Light, dark, or as the system has it.

export type Theme = "system" | "light" | "dark";
const KEPT = "crowd.theme";

let theme = $state<Theme>("system");

export function chosenTheme(): Theme {
  return theme;
}

export function choose(wanted: Theme): void {
  theme = wanted;
  localStorage.setItem(KEPT, wanted);
  document.documentElement.dataset["theme"] = wanted;
}

export function restore(): void {
  const kept = localStorage.getItem(KEPT);
  choose(kept === "light" || kept === "dark" ? kept : "system");
}
