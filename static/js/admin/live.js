// Keeps what is in memory up to date on the dashboard, while somebody looks at it.
const SECONDS = 5;
const box = document.getElementById("hw-live");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(box.dataset.url, { credentials: "same-origin" });
  if (answer.ok && !answer.redirected) box.innerHTML = await answer.text();
}

if (box) setInterval(() => refresh().catch(() => {}), SECONDS * 1000);
