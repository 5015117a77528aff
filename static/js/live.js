// Keeps parts of a page up to date while somebody looks at them: each says with data-live where it comes
// from, and is fetched again after data-seconds, or every second while something in it is data-running.

const RUNNING_SECONDS = 1;

for (const part of document.querySelectorAll("[data-live]")) {
  if (part.childElementCount) wait(part);
  else turn(part);
}

function wait(part) {
  const seconds = part.querySelector("[data-running]") ? RUNNING_SECONDS : Number(part.dataset.seconds ?? 5);
  setTimeout(() => turn(part), seconds * 1000);
}

async function turn(part) {
  // A server that is away for a moment is asked again.
  if (!document.hidden) await refresh(part).catch(() => {});
  wait(part);
}

async function refresh(part) {
  const answer = await fetch(part.dataset.live, { credentials: "same-origin" });
  if (answer.ok && !answer.redirected) show(part, await answer.text());
}

/** Puts the new part in the place of the old one; a button that has the focus keeps it. */
function show(part, html) {
  const { id } = part.contains(document.activeElement) ? document.activeElement : {};
  part.innerHTML = html;
  if (id) document.getElementById(id)?.focus({ preventScroll: true });
}
