// The list of conversations: renaming and deleting ask in a dialog, and a conversation that has
// just been written in moves to the top.

import { elementsOf } from "./turn.js";

export function startEntries(sidebar) {
  const dialogs = {
    rename: dialog("rename-dialog", (form, entry) => {
      form.elements.title.value = entry.dataset.title;
      form.elements.title.select();
    }),
    delete: dialog("delete-dialog", (form, entry) => {
      form.querySelector(".dialog-title").textContent = entry.dataset.title;
    }),
  };
  sidebar.addEventListener("click", (event) => {
    const action = event.target.closest("[data-action]")?.dataset.action;
    if (action in dialogs) dialogs[action](event.target.closest(".entry"), action);
  });
}

/** Puts `html`, the entry of `conversation`, where the newest belongs. */
export function showEntry(sidebar, conversation, html) {
  const today = sidebar.querySelector("#today");
  if (!today) return;
  for (const link of sidebar.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  sidebar.querySelector(`.entry[data-conversation="${CSS.escape(conversation)}"]`)?.remove();
  today.hidden = false;
  today.querySelector("ul").prepend(elementsOf(html));
  for (const group of sidebar.querySelectorAll(".group")) group.hidden = !group.querySelector(".entry");
}

function dialog(id, fill) {
  const element = document.getElementById(id);
  const form = element.querySelector("form");
  element.querySelector("[data-action=cancel]").addEventListener("click", () => element.close());
  element.addEventListener("click", (event) => event.target === element && element.close());
  return (entry, action) => {
    form.action = entry.dataset[action];
    form.elements.next.value = location.pathname + location.search;
    element.showModal();
    fill(form, entry);
  };
}
