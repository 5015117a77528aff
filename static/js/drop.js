// Files dragged over the page: shows that they may be dropped, and hands them on. Anything else that
// is dragged, such as text, is the browser's.

export function startDrop(area, take) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (over) => area.classList.toggle("dropping", over);
  area.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(true);
  });
  area.addEventListener("dragleave", (event) => area.contains(event.relatedTarget) || show(false));
  area.addEventListener("drop", (event) => {
    show(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}
