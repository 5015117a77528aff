// The box that messages are written in: grows with the text, keeps the draft over a reload, and
// knows which Enter means "send". Knows nothing of what happens to a message.
//
// Events: "send" (detail: the text and the ids of pictures), "stop".

import { Tray } from "./tray.js";

const onTouch = matchMedia("(hover: none) and (pointer: coarse)");
const IME_KEY = 229;

export class Composer extends EventTarget {
  #form;
  #text;
  #model;
  #send;
  #stop;
  #draft;
  #tray;
  #busy = false;
  #streaming = false;

  constructor(form, conversation) {
    super();
    this.#form = form;
    this.#text = form.elements.text;
    this.#model = form.elements.model;
    this.#send = form.querySelector("#send");
    this.#stop = form.querySelector("#stop");
    this.#tray = new Tray(form);
    this.#tray.addEventListener("change", () => this.#show());
    this.keepDraftFor(conversation);
    this.#text.value ||= sessionStorage.getItem(this.#draft) ?? "";
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("paste", (event) => this.#pasted(event));
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => this.dispatchEvent(new Event("stop")));
    this.#show();
  }

  get model() {
    return this.#model.value;
  }

  /** Keeps drafts for this conversation from now on. */
  keepDraftFor(conversation) {
    this.#draft = `draft:${conversation || "new"}`;
  }

  /** Nothing can be sent while one message is on its way. */
  set busy(busy) {
    this.#busy = busy;
    this.#show();
  }

  /** "Stop" stands in the place of "send" while an answer is being written. */
  set streaming(streaming) {
    this.#streaming = streaming;
    this.#show();
  }

  /** The picker has other models now, perhaps the first ones. */
  modelsChanged() {
    const isEmpty = !this.#model.value;
    this.#model.disabled = this.#text.disabled = isEmpty;
    this.#text.placeholder = isEmpty ? "Get a model first" : "Write a message";
    this.#model.dispatchEvent(new Event("change"));
    this.#show();
  }

  clear() {
    this.#text.value = "";
    this.#tray.clear();
    this.#changed();
  }

  /** Pictures that were dropped on the page. */
  take(files) {
    this.#tray.add(files);
  }

  /** A question with its pictures, which whoever likes it sends. */
  offer(text, files) {
    this.#text.value = text;
    this.#tray.add(files);
    this.#changed();
    this.focus();
  }

  focus() {
    if (!onTouch.matches) this.#text.focus();
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === IME_KEY;
    if (event.key !== "Enter" || event.shiftKey || composing || onTouch.matches) return;
    event.preventDefault();
    this.#submit();
  }

  /** The browser cuts what is too long, and says nothing. */
  #pasted({ clipboardData }) {
    const { maxLength, value, selectionStart, selectionEnd } = this.#text;
    const length = value.length - (selectionEnd - selectionStart) + clipboardData.getData("text/plain").length;
    const most = maxLength.toLocaleString("en");
    if (length > maxLength) this.#tray.say(`The text is cut: a message has at most ${most} characters.`);
  }

  #submit() {
    const text = this.#text.value;
    if (this.#busy || this.#streaming || !this.#isReady()) return;
    this.dispatchEvent(new CustomEvent("send", { detail: { text, attachments: this.#tray.ids } }));
  }

  #isReady() {
    return this.#tray.isReady && Boolean(this.#text.value.trim() || this.#tray.ids.length);
  }

  #changed() {
    if (this.#text.value) sessionStorage.setItem(this.#draft, this.#text.value);
    else sessionStorage.removeItem(this.#draft);
    this.#show();
  }

  #show() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#send.hidden = this.#streaming;
    this.#stop.hidden = !this.#streaming;
    this.#send.disabled = this.#busy || this.#text.disabled || !this.#isReady();
    if (hadFocus) this.focus();
  }
}
