export type Theme = "light" | "dark" | "system";

const where = "tidegate-theme";

export function chosenTheme(): Theme {
  const theme = localStorage.getItem(where);
  return theme === "light" || theme === "dark" ? theme : "system";
}

const dark = () => window.matchMedia("(prefers-color-scheme: dark)");

function show() {
  const theme = chosenTheme();
  document.documentElement.dataset.theme = theme === "system" ? (dark().matches ? "dark" : "light") : theme;
  window.dispatchEvent(new Event("tidegate-theme"));
}

export function chooseTheme(theme: Theme) {
  if (theme === "system") localStorage.removeItem(where);
  else localStorage.setItem(where, theme);
  show();
}

export function followSystemTheme() {
  show();
  dark().addEventListener("change", show);
}
