// The conversation on the page: asks over the socket, and shows what comes back. At most one answer
// is live. A socket that was lost and is back asks for what is newer than the version on the page.

import { announce } from "./announce.js";
import { showEntry } from "./entries.js";
import { phaseWords } from "./phase.js";
import { elementsOf, LiveTurn } from "./turn.js";

const ENDINGS = {
  complete: "The answer is complete.",
  stopped: "The answer was stopped.",
  interrupted: "The answer was cut off.",
  failed: "No answer came.",
};
const LOST = "The connection was lost before your message arrived. Please send it again.";
const SHOW_OFFLINE_AFTER = 1500;

export class Chat {
  #page;
  #socket;
  #composer;
  #follow;
  #live = null;
  #asked = null;
  #stopping = false;
  #conversation;
  #path = location.pathname;
  #offlineTimer = 0;

  /** `page`: messages, sidebar, title, empty, problem, offline, conversation. */
  constructor(page, socket, composer, follow) {
    this.#page = page;
    this.#socket = socket;
    this.#composer = composer;
    this.#follow = follow;
    this.#conversation = page.conversation;
    const unfinished = page.messages.querySelector("[data-status=streaming]");
    if (unfinished) this.#begin(unfinished);
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("lost", () => this.#lost());
    socket.addEventListener("said", ({ detail }) => this.#heard(detail));
    addEventListener("popstate", () => this.#path !== location.pathname && location.reload());
  }

  /** Asks the model; `typed` when the text stands in the composer, which is then cleared. */
  ask({ text, attachments = [] }, { typed = false } = {}) {
    if (this.#live || this.#asked) return;
    const model = this.#composer.model;
    const say = { type: "send", conversation: this.#conversation || null, text, model, attachments };
    this.#asked = { typed, sent: false, say };
    this.#composer.busy = true;
    this.#complain("");
    this.#sendAsked();
  }

  /** Stops the answer that is being written; without a connection, as soon as there is one. */
  stop() {
    if (!this.#live) return;
    this.#stopping = !this.#socket.say({ type: "stop", message: this.#live.message });
  }

  #opened() {
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = 0;
    this.#page.offline.hidden = true;
    this.#sendAsked();
    if (!this.#live) return;
    const { message, version } = this.#live;
    this.#socket.say({ type: "attach", conversation: this.#conversation, message, version });
    if (this.#stopping) this.stop();
  }

  #lost() {
    // Every attempt that fails comes by here: the first one counts.
    this.#offlineTimer ||= setTimeout(() => (this.#page.offline.hidden = false), SHOW_OFFLINE_AFTER);
    if (!this.#asked?.sent) return;
    this.#complain(LOST);
    this.#settle();
  }

  /** Sends what was asked, or leaves it for when the connection is there. */
  #sendAsked() {
    if (this.#asked && !this.#asked.sent) this.#asked.sent = this.#socket.say(this.#asked.say);
  }

  #heard(said) {
    if (said.type === "started") return this.#started(said);
    if (said.type === "error") return this.#refused(said);
    if (said.message !== this.#live?.message) return undefined;
    return said.type === "update" ? this.#updated(said) : this.#ended(said);
  }

  #started({ conversation, message, after, title, url, html, entry }) {
    const { typed } = this.#asked ?? {};
    this.#settle();
    if (typed) this.#composer.clear();
    // Something was said in another tab: all of it is on the page that the server makes.
    if (after !== this.#last) return location.assign(url);
    if (!this.#conversation) history.pushState(null, "", url);
    this.#conversation = conversation;
    this.#path = location.pathname;
    this.#composer.keepDraftFor(conversation);
    document.title = `${title} · HugWeb`;
    this.#page.title.textContent = title;
    this.#page.empty?.remove();
    this.#page.messages.append(elementsOf(html));
    showEntry(this.#page.sidebar, conversation, entry);
    this.#begin(this.#page.messages.querySelector(`.answer[data-message="${CSS.escape(message)}"]`));
    this.#follow.jump();
    return undefined;
  }

  /** The newest message on the page. */
  get #last() {
    return this.#page.messages.querySelector(":scope > :last-child")?.dataset.message ?? null;
  }

  #begin(article) {
    this.#live = new LiveTurn(article);
    this.#stopping = false;
    this.#composer.streaming = true;
  }

  #updated(update) {
    this.#live.update(update);
    if (update.phase.name !== "ended") announce(phaseWords(update.phase));
  }

  #ended(ended) {
    this.#live.end(ended);
    this.#finish();
    announce(`${ENDINGS[ended.status]} ${ended.error?.message ?? ""}`.trim());
  }

  #finish() {
    this.#live = null;
    this.#composer.streaming = false;
  }

  #refused({ code, message }) {
    this.#complain(message);
    if (this.#asked) {
      this.#settle();
      // It is being answered, and that cannot be seen here: another tab has asked.
      if (code === "busy" && this.#conversation) location.reload();
    } else if (this.#live && code === "not_found") {
      this.#live.close();
      this.#finish();
    }
  }

  #settle() {
    this.#asked = null;
    this.#composer.busy = false;
  }

  #complain(words) {
    this.#page.problem.textContent = words;
    this.#page.problem.hidden = !words;
  }
}
