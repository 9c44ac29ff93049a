// Exporting and importing: [data-progress] is asked how far it is once a download or an upload has
// begun. htmx hears a click itself by keeping the link from being followed, so it gets "begin".

export function start() {
  const progress = document.querySelector("[data-progress]");
  if (!progress) return;
  const begin = () => progress.dispatchEvent(new CustomEvent("begin"));
  for (const link of document.querySelectorAll(".transfer-link")) link.addEventListener("click", begin);
  document.querySelector(".import-form")?.addEventListener("submit", begin);
}
