// Keeps the model picker up to date: models may have come or gone while the page was not looked at.

/** `select`: the picker; `changed` is called when its options are others now. */
export function startPicker(select, changed) {
  let shown = select.innerHTML.trim();

  async function refresh() {
    if (document.hidden) return;
    const address = `${select.dataset.options}?chosen=${encodeURIComponent(select.value)}`;
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const options = (await answer.text()).trim();
    if (options === shown) return;
    const chosen = select.value;
    select.innerHTML = shown = options;
    if ([...select.options].some(({ value }) => value === chosen)) select.value = chosen;
    changed();
  }

  document.addEventListener("visibilitychange", () => refresh().catch(() => {}));
  addEventListener("pageshow", (event) => event.persisted && refresh().catch(() => {}));
}
