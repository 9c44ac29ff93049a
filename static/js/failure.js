// Says when the server does not answer what the page asks by htmx, or answers with an error of its
// own: what is shown stays as it is, and may be old. The line goes as soon as an answer comes.

let line = null;
let again = null;

function show(text) {
  if (!line) {
    line = document.createElement("div");
    line.className = "failure";
    line.role = "alert";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-small";
    button.textContent = "Try again";
    button.addEventListener("click", () => again());
    line.append(document.createElement("p"), button);
    document.body.append(line);
  }
  const said = line.firstChild;
  if (said.textContent !== text) said.textContent = text;
}

function hide() {
  if (line?.contains(document.activeElement)) document.querySelector("main")?.focus();
  line?.remove();
  line = null;
}

// A list is asked for once more. Whether a change was made nobody knows: the page, loaded again, shows it.
function failed({ sourceElement, request }, what) {
  const isList = sourceElement?.matches?.("[data-refresh]");
  again = () => (isList ? sourceElement.dispatchEvent(new CustomEvent("refresh:now")) : location.reload());
  show(request?.method === "POST" ? `${what}: this may not have been done.` : `${what}: what is shown may be old.`);
}

export function start() {
  document.addEventListener("htmx:error", ({ detail }) => {
    if (detail?.ctx && !detail.ctx.response) failed(detail.ctx, "The server does not answer");
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    if (!ctx?.response) return;
    if (ctx.response.status < 500) {
      hide();
      return;
    }
    event.preventDefault();
    failed(ctx, `The server answers with an error (${ctx.response.status})`);
  });
}
