// On a narrow page the list of conversations is a drawer over it.

export function startDrawer(sidebar, main, shade) {
  const opener = main.querySelector(".drawer-open");
  const closer = sidebar.querySelector(".drawer-close");
  const isOpen = () => document.body.dataset.drawer === "open";

  const set = (open) => {
    if (open === isOpen()) return;
    document.body.dataset.drawer = open ? "open" : "closed";
    opener.setAttribute("aria-expanded", String(open));
    main.inert = open;
    (open ? closer : opener).focus();
  };

  opener.addEventListener("click", () => set(true));
  closer.addEventListener("click", () => set(false));
  shade.addEventListener("click", () => set(false));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !isOpen() || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    set(false);
  });
  matchMedia("(max-width: 52rem)").addEventListener("change", () => set(false));
}
