// The websocket, and coming back when it is lost: at once when the page is looked at again or the
// network returns, otherwise after pauses that grow. Knows nothing of what is said over it.
//
// Events: "open", "lost", "said" (detail: the message).

const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 15_000;
const LOGGED_OUT = 4401;
// A phone that slept may hold a socket that is dead without knowing.
const LONG_ABSENCE = 20_000;

export class ChatSocket extends EventTarget {
  #url;
  #loginUrl;
  #socket = null;
  #failures = 0;
  #timer = 0;
  #hiddenSince = 0;

  constructor(url, loginUrl) {
    super();
    this.#url = url;
    this.#loginUrl = loginUrl;
    addEventListener("online", () => this.#reopen());
    addEventListener("pageshow", (event) => event.persisted && this.#reopen());
    document.addEventListener("visibilitychange", () => this.#looked());
    this.#open();
  }

  get ready() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Sends, and says whether that was possible. */
  say(message) {
    if (this.ready) this.#socket.send(JSON.stringify(message));
    return this.ready;
  }

  #looked() {
    if (document.hidden) {
      this.#hiddenSince = Date.now();
    } else if (!this.ready || Date.now() - this.#hiddenSince > LONG_ABSENCE) {
      this.#reopen();
    }
  }

  #reopen() {
    this.#failures = 0;
    this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#drop();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = (event) => {
      this.dispatchEvent(new CustomEvent("said", { detail: JSON.parse(event.data) }));
    };
    socket.onclose = (event) => this.#closed(event.code);
  }

  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    const wasReady = this.ready;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    if (wasReady) this.dispatchEvent(new Event("lost"));
  }

  #closed(code) {
    if (code === LOGGED_OUT) {
      location.assign(`${this.#loginUrl}?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    this.dispatchEvent(new Event("lost"));
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.#open(), pause * (0.5 + Math.random() / 2));
  }
}
