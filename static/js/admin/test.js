// The box that tries a provider: asks, and shows what came and how fast.
const box = document.getElementById("hw-test");
const [form, status] = [box.querySelector("form"), box.querySelector("[role=status]")];

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = "Waiting for an answer…";
  try {
    const answer = await fetch(box.dataset.url, { method: "POST", body: new FormData(form) });
    const words = await answer.text();
    if (answer.headers.get("Content-Type").startsWith("text/html") && answer.ok) status.innerHTML = words;
    else status.textContent = answer.status === 403 ? words : "The test failed. The server's log says why.";
  } catch {
    status.textContent = "The server gives no answer.";
  }
  button.disabled = false;
});
