// Questions in a dialog instead of on a page of their own: links, forms and buttons with data-dialog
// are answered by a fragment that is shown in #question. Without this they lead to the same as a page.

const ASK = "#question";

async function show(url, options = {}) {
  const dialog = document.querySelector(ASK);
  const answer = await fetch(url, { ...options, headers: { "HX-Request": "true" } });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  dialog.innerHTML = await answer.text();
  if (!dialog.open) dialog.showModal();
  const field = dialog.querySelector("[aria-invalid], input:not([type=hidden]), button:not(:disabled)");
  field?.focus();
}

function follow(event) {
  const link = event.target.closest?.("a[data-dialog]");
  const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
  if (!link || !isPlain) return;
  event.preventDefault();
  show(link.href).catch(() => location.assign(link.href));
}

function submit(event) {
  const { target: form, submitter } = event;
  const isAsking = submitter?.hasAttribute("data-dialog") || form.hasAttribute("data-dialog");
  if (!isAsking) return;
  event.preventDefault();
  const url = submitter?.hasAttribute("formaction") ? submitter.formAction : form.action;
  const body = new URLSearchParams(new FormData(form, submitter));
  // What goes wrong is told by the page that would have been there without a script.
  show(url, { method: "POST", body }).catch(() => {
    for (const element of [form, submitter]) element?.removeAttribute("data-dialog");
    form.requestSubmit(submitter);
  });
}

// A question that is answered by a form of the page itself, which goes on below the dialog.
function answered({ submitter }) {
  const dialog = document.querySelector(ASK);
  if (submitter?.form && dialog.contains(submitter) && !dialog.contains(submitter.form)) dialog.close();
}

function close(event) {
  const dialog = document.querySelector(ASK);
  const isCancel = event.target.closest?.("[data-dialog-close]") && dialog?.contains(event.target);
  if (!isCancel && event.target !== dialog) return; // the dialog itself: a click beside its content
  event.preventDefault();
  dialog.close();
}

export function start() {
  if (!document.querySelector(ASK)) return;
  document.addEventListener("click", follow);
  document.addEventListener("click", close);
  document.addEventListener("submit", submit);
  document.addEventListener("submit", answered, true); // before htmx looks where the focus is
}
