// The theme button: as the system has it, light, dark, and round again. Remembered on this device.

const THEMES = ["system", "light", "dark"];

export function startTheme(button) {
  const show = (theme) => {
    const root = document.documentElement;
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    const theme = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    localStorage.setItem("theme", theme);
    show(theme);
  });
  show(current());
}

function current() {
  const theme = localStorage.getItem("theme");
  return THEMES.includes(theme) ? theme : "system";
}
