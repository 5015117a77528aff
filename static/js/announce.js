// What a screen reader is told: how things stand, never the text while it is being written.

const status = document.getElementById("status");

export function announce(words) {
  if (status.textContent !== words) status.textContent = words;
}
