// The box that tries an alias: asks, and shows the answer as it comes.
const box = document.getElementById("hw-try");

async function ask(output, status, signal) {
  const body = new FormData();
  body.append("prompt", box.querySelector("textarea").value);
  body.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  const answer = await fetch(box.dataset.url, { method: "POST", body, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    status.textContent = "";
    output.textContent += part.value;
  }
}

if (box) {
  const [button, stop] = box.querySelectorAll("button");
  const output = box.querySelector("output");
  const status = box.querySelector("[role=status]");
  let running = null;
  stop.addEventListener("click", () => running?.abort());
  button.addEventListener("click", async () => {
    running = new AbortController();
    output.textContent = "";
    status.textContent = "Waiting for the model…";
    button.disabled = true;
    stop.disabled = false;
    try {
      await ask(output, status, running.signal);
    } catch (error) {
      status.textContent = error.name === "AbortError" ? "Stopped." : "The answer broke off.";
    }
    button.disabled = false;
    stop.disabled = true;
  });
}
