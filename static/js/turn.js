// An answer on the page while it is being written: puts each block that comes into its place.
// All HTML comes from the server, which has sanitised it; here is the only place that takes it in.

import { PhaseLine } from "./phase.js";

export class LiveTurn {
  version = 0;
  #article;
  #prose;
  #thoughts;
  #foot;
  #phase;

  constructor(article) {
    this.#article = article;
    this.#prose = article.querySelector(".prose");
    this.#thoughts = article.querySelector(".thoughts");
    this.#foot = article.querySelector(".foot");
    this.#phase = new PhaseLine(this.#foot);
  }

  get message() {
    return this.#article.dataset.message;
  }

  update({ version, phase, blocks, count, stats, thoughts, thoughts_count }) {
    this.version = version;
    put(this.#prose, blocks, count);
    this.#think(phase, stats, thoughts, thoughts_count);
    this.#phase.show(phase, stats);
  }

  end({ status, foot }) {
    this.#phase.close();
    this.#article.dataset.status = status;
    this.#foot.innerHTML = foot;
  }

  close() {
    this.#phase.close();
  }

  #think(phase, stats, blocks, count) {
    if (!this.#thoughts) return;
    this.#thoughts.hidden = !count;
    put(this.#thoughts.querySelector(".thoughts-text"), blocks, count);
    const words = phase.name === "thinking" ? "Thinking…" : `Thought for ${Math.max(1, Math.round(stats.thinking))} s`;
    const summary = this.#thoughts.querySelector("summary");
    if (summary.textContent !== words) summary.textContent = words;
  }
}

/** Puts `blocks`, each with its place, into `parent`, which then has `count` of them. */
function put(parent, blocks, count) {
  while (parent.children.length < count) {
    const block = document.createElement("div");
    block.className = "block";
    block.dir = "auto";
    parent.append(block);
  }
  for (const [index, html] of blocks) parent.children[index].innerHTML = html;
  while (parent.children.length > count) parent.lastElementChild.remove();
}

/** The elements of HTML that the server made. */
export function elementsOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}
