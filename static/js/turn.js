// An answer on the page while it is being written: puts each block that comes into its place.
// All HTML comes from the server, which has sanitised it; here is the only place that takes it in.

import { PhaseLine } from "./phase.js";

export class LiveTurn {
  version = 0;
  #article;
  #prose;
  #foot;
  #phase;

  constructor(article) {
    this.#article = article;
    this.#prose = article.querySelector(".prose");
    this.#foot = article.querySelector(".foot");
    this.#phase = new PhaseLine(this.#foot);
  }

  get message() {
    return this.#article.dataset.message;
  }

  update({ version, phase, blocks, count, stats }) {
    this.version = version;
    for (const [index, html] of blocks) this.#block(index).innerHTML = html;
    while (this.#prose.children.length > count) this.#prose.lastElementChild.remove();
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

  #block(index) {
    while (this.#prose.children.length <= index) {
      const block = document.createElement("div");
      block.className = "block";
      this.#prose.append(block);
    }
    return this.#prose.children[index];
  }
}

/** The elements of HTML that the server made. */
export function elementsOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}
