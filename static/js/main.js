// Puts the page together: one module for each concern, each told about the others here.

import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { startCopy } from "./copy.js";
import { startDrawer } from "./drawer.js";
import { startDrop } from "./drop.js";
import { startEntries } from "./entries.js";
import { Follow } from "./follow.js";
import { startPicker } from "./picker.js";
import { startSample } from "./sample.js";
import { ChatSocket } from "./socket.js";
import { startTheme } from "./theme.js";

const find = (id) => document.getElementById(id);
const [main, sidebar, messages] = ["main", "sidebar", "messages"].map(find);
const { conversation, login } = document.body.dataset;

startTheme(find("theme"));
startDrawer(sidebar, main, find("shade"));
startEntries(sidebar);
startCopy(messages);
const follow = new Follow(find("scroller"), find("jump"), messages.childElementCount > 0);

// A page of earlier messages has no composer, and nothing live.
if (find("composer")) startChat();

function startChat() {
  const address = new URL("/ws/chat/", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const composer = new Composer(find("composer"), conversation);
  const socket = new ChatSocket(address, login);
  const [title, empty, problem, offline] = ["title", "empty", "problem", "offline"].map(find);
  const page = { messages, sidebar, title, empty, problem, offline, conversation };
  const chat = new Chat(page, socket, composer, follow);

  composer.focus();
  startPicker(find("model"), () => composer.modelsChanged());
  if (find("sample")) startSample(find("sample"), find("model"), composer);
  startDrop(main, (files) => composer.take(files));
  composer.addEventListener("send", ({ detail }) => chat.ask(detail, { typed: true }));
  composer.addEventListener("stop", () => chat.stop());
  main.addEventListener("click", ({ target }) => {
    const suggestion = target.closest("[data-suggestion]");
    if (suggestion) chat.ask({ text: suggestion.dataset.suggestion });
    const retry = target.closest("[data-action=retry]");
    if (retry) chat.ask(questionOf(retry.closest(".answer")));
  });
  addEventListener("keydown", (event) => {
    // There it clears what was searched for.
    const isElsewhere = event.defaultPrevented || document.querySelector("dialog[open]") || event.target.closest("[type=search]");
    if (event.key === "Escape" && !isElsewhere) chat.stop();
  });
}

function questionOf(answer) {
  const question = answer.previousElementSibling;
  const pictures = [...question.querySelectorAll("[data-attachment]")];
  return {
    text: question.querySelector(".question-text").textContent,
    attachments: pictures.map(({ dataset }) => dataset.attachment),
  };
}
