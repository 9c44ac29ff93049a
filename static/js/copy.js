// Copy buttons: data-copy holds the text, or data-copy-from the selector of the element that does.

const SHOWN_MS = 1400;

async function write(text) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  // Plain HTTP on another machine has no clipboard API; the old way still works there.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr-only";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("this browser does not let the page copy");
}

async function copy(button) {
  const from = button.dataset.copyFrom;
  const text = from ? document.querySelector(from)?.textContent : button.dataset.copy;
  const label = button.getAttribute("aria-label");
  let says = "Copied";
  try {
    await write(text ?? "");
    button.dataset.copied = "";
  } catch (error) {
    says = `Not copied: ${error.message}`;
  }
  button.setAttribute("aria-label", says);
  button.title = says;
  setTimeout(() => {
    delete button.dataset.copied;
    button.setAttribute("aria-label", label);
    button.title = label;
  }, SHOWN_MS);
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copy(button);
  });
}
