// The sample picture of the first page: offered where the chosen model sees, and put into the
// composer together with a question about it.

export function startSample(button, model, composer) {
  const show = () => {
    button.closest("li").hidden = model.selectedOptions[0]?.dataset.sees === undefined;
  };
  model.addEventListener("change", show);
  show();
  button.addEventListener("click", async () => {
    const response = await fetch(button.dataset.picture);
    const file = new File([await response.blob()], "sample.png", { type: "image/png" });
    composer.offer(button.dataset.question, [file]);
  });
}
