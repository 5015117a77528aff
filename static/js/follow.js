// Scrolling: follows what is being written while the reader is at the end, and lets go as soon as
// the reader wants to be elsewhere, which wheel, touch, keys and the scroll bar say. Being back at
// the end, or the button, follows again.

const NEAR = 48;
const KEYS_UP = new Set(["ArrowUp", "PageUp", "Home"]);

export class Follow {
  #scroller;
  #button;
  #following;
  #top = 0;

  /** `following`: whether the end is where to begin, as it is where something was said. */
  constructor(scroller, button, following) {
    this.#following = following;
    this.#scroller = scroller;
    this.#button = button;
    const letGo = () => this.#set(false);
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && letGo(), { passive: true });
    scroller.addEventListener("touchmove", letGo, { passive: true });
    scroller.addEventListener("pointerdown", (event) => event.target === scroller && letGo());
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("keydown", (event) => {
      if (KEYS_UP.has(event.key) && !event.target.closest("textarea, input, select")) letGo();
    });
    new ResizeObserver(() => this.keep()).observe(scroller);
    new ResizeObserver(() => this.keep()).observe(scroller.firstElementChild);
    button?.addEventListener("click", () => this.jump());
  }

  /** Goes to the end and stays there. */
  jump() {
    this.#set(true);
    this.keep();
  }

  /** Stays at the end if that is where the reader is. */
  keep() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#show();
  }

  /** Only moving down to the end follows again: a small step up from there must not be undone. */
  #scrolled() {
    const isDown = this.#scroller.scrollTop > this.#top;
    this.#top = this.#scroller.scrollTop;
    this.#set(this.#following || (isDown && this.#isNear()));
  }

  #set(following) {
    this.#following = following;
    this.#show();
  }

  #show() {
    if (this.#button) this.#button.hidden = this.#following || this.#isNear();
  }

  #isNear() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }
}
