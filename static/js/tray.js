// The pictures that go with the next message: chosen, pasted or dropped, uploaded at once, shown
// small, and removed again. Says what is too much before anything is sent.
//
// Events: "change".

const MEGABYTE = 2 ** 20;
const FAILED = "The picture could not be uploaded. Check the connection and attach it again.";

export class Tray extends EventTarget {
  #form;
  #list;
  #note;
  #button;
  #why;
  #model;
  #files;
  #pictures = [];
  #problem = "";

  constructor(form) {
    super();
    this.#form = form;
    const find = (id) => form.querySelector(`#${id}`);
    [this.#list, this.#note, this.#button, this.#why] = ["tray", "tray-note", "attach", "attach-why"].map(find);
    this.#model = form.elements.model;
    this.#files = find("files");
    this.#button.addEventListener("click", () => this.#choose());
    this.#files.addEventListener("change", () => {
      this.add(this.#files.files);
      this.#files.value = "";
    });
    form.elements.text.addEventListener("paste", (event) => this.#paste(event));
    this.#model.addEventListener("change", () => this.say(""));
    this.#changed();
  }

  /** The ids of the pictures that have been uploaded. */
  get ids() {
    return this.#pictures.map(({ id }) => id).filter(Boolean);
  }

  /** Whether all that is shown can be sent. */
  get isReady() {
    return !this.#pictures.length || (this.#sees && this.#pictures.every(({ id }) => id));
  }

  /** Takes in pictures, as far as they are within the limits. */
  add(files) {
    this.say("");
    for (const file of files) {
      const problem = this.#problemWith(file);
      if (problem) return this.say(problem);
      this.#upload(file);
    }
    return this.#changed();
  }

  /** They have been sent. */
  clear() {
    for (const picture of this.#pictures) picture.close();
    this.#pictures = [];
    this.say("");
  }

  get #sees() {
    return this.#model.selectedOptions[0]?.dataset.sees !== undefined;
  }

  /** Why pictures cannot be sent to the chosen model; empty if they can. */
  get #blind() {
    return this.#sees ? "" : `${this.#model.value || "The model"} cannot see pictures. Choose a model that can.`;
  }

  #choose() {
    if (this.#blind) this.say(this.#blind);
    else this.#files.click();
  }

  #paste(event) {
    const { files, types } = event.clipboardData;
    // What is copied from a document often is a picture of it too: the text is what is meant.
    if (!files.length || types.includes("text/plain")) return;
    event.preventDefault();
    this.add(files);
  }

  #problemWith(file) {
    const { mostPictures, mostBytes, mostTogether } = this.#form.dataset;
    const together = this.#pictures.reduce((sum, { size }) => sum + size, file.size);
    if (this.#blind) return this.#blind;
    if (!this.#files.accept.split(",").includes(file.type)) return `${file.name} is no PNG, JPEG, WebP, GIF or BMP picture.`;
    if (this.#pictures.length >= mostPictures) return `At most ${mostPictures} pictures go with a message.`;
    if (file.size > mostBytes) return `${file.name} is larger than ${mostBytes / MEGABYTE} MB.`;
    return together > mostTogether ? `The pictures are larger than ${mostTogether / MEGABYTE} MB together.` : "";
  }

  async #upload(file) {
    const picture = new Picture(file, () => this.#remove(picture));
    this.#pictures.push(picture);
    this.#list.append(picture.element);
    try {
      picture.id = await send(this.#form, file, picture.signal);
      picture.element.classList.remove("uploading");
      this.#changed();
    } catch (error) {
      if (!picture.signal.aborted) this.#remove(picture, error.message);
    }
  }

  #remove(picture, problem = "") {
    picture.close();
    this.#pictures = this.#pictures.filter((one) => one !== picture);
    if (picture.id) post(this.#form, `${this.#form.dataset.upload}${picture.id}/remove/`, new FormData()).catch(() => {});
    this.say(problem);
    this.#form.elements.text.focus();
  }

  /** Shows a problem until the next thing that is done. */
  say(problem) {
    this.#problem = problem;
    this.#changed();
  }

  #changed() {
    const words = this.#problem || (this.#pictures.length ? this.#blind : "");
    this.#note.textContent = words;
    this.#note.hidden = !words;
    this.#list.hidden = !this.#pictures.length;
    this.#button.setAttribute("aria-disabled", String(Boolean(this.#blind)));
    this.#button.title = this.#blind || "Attach pictures";
    this.#why.textContent = this.#blind;
    this.dispatchEvent(new Event("change"));
  }
}

/** A picture in the tray; `id` once it has been uploaded. */
class Picture {
  id = "";
  #address;
  #abort = new AbortController();

  constructor(file, remove) {
    this.size = file.size;
    this.#address = URL.createObjectURL(file);
    this.element = document.createElement("li");
    this.element.className = "uploading";
    const [image, button] = ["img", "button"].map((tag) => document.createElement(tag));
    image.src = this.#address;
    image.alt = file.name;
    button.type = "button";
    button.textContent = "×";
    button.setAttribute("aria-label", `Remove ${file.name}`);
    button.addEventListener("click", remove);
    this.element.append(image, button);
  }

  get signal() {
    return this.#abort.signal;
  }

  close() {
    if (!this.id) this.#abort.abort();
    URL.revokeObjectURL(this.#address);
    this.element.remove();
  }
}

async function send(form, file, signal) {
  const body = new FormData();
  body.append("file", file);
  const response = await post(form, form.dataset.upload, body, signal).catch(() => null);
  const said = await response?.json().catch(() => null);
  if (response?.status === 201) return said.id;
  throw new Error(said?.error ?? reason(response));
}

function reason(response) {
  if (response?.redirected) return "You are logged out. Load the page again.";
  return response?.status === 413 ? "The picture is larger than this server takes." : FAILED;
}

function post(form, address, body, signal) {
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  return fetch(address, { method: "POST", headers, body, signal, credentials: "same-origin" });
}
