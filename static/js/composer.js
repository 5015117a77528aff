// The box that messages are written in: grows with the text, keeps the draft over a reload, and
// knows which Enter means "send". Knows nothing of what happens to a message.
//
// Events: "send" (detail: the text), "stop".

const onTouch = matchMedia("(hover: none) and (pointer: coarse)");
const IME_KEY = 229;

export class Composer extends EventTarget {
  #form;
  #text;
  #model;
  #send;
  #stop;
  #draft;
  #busy = false;
  #streaming = false;

  constructor(form, conversation) {
    super();
    this.#form = form;
    this.#text = form.elements.text;
    this.#model = form.elements.model;
    this.#send = form.querySelector("#send");
    this.#stop = form.querySelector("#stop");
    this.keepDraftFor(conversation);
    this.#text.value ||= sessionStorage.getItem(this.#draft) ?? "";
    this.#text.addEventListener("input", () => this.#changed());
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

  clear() {
    this.#text.value = "";
    this.#changed();
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

  #submit() {
    const text = this.#text.value;
    if (this.#busy || this.#streaming || !text.trim()) return;
    this.dispatchEvent(new CustomEvent("send", { detail: text }));
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
    this.#send.disabled = this.#busy || this.#text.disabled || !this.#text.value.trim();
    if (hadFocus) this.focus();
  }
}
