// The copy buttons: of a code block its code, of an answer the Markdown it was written in.

import { announce } from "./announce.js";

const SHOWN = 1500;

export function startCopy(root) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy, [data-action=copy]");
    if (!button) return;
    await write(textFor(button));
    announce("Copied.");
    confirm(button);
  });
}

function textFor(button) {
  const code = button.closest(".code");
  if (code) return code.querySelector("code").textContent;
  return button.closest(".answer").querySelector("template.source").content.textContent;
}

async function write(text) {
  // A page that comes over plain http from another machine has no clipboard.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function confirm(button) {
  const use = button.querySelector("use");
  const show = (done) => {
    if (use) use.setAttribute("href", done ? "#i-check" : "#i-copy");
    else button.textContent = done ? "Copied" : "Copy";
  };
  show(true);
  setTimeout(() => show(false), SHOWN);
}
