// The publish form as values, and as the event that the API takes.

export const FIELDS = ["type", "data", "source", "subject", "id", "delay", "at"];

export function read(form) {
  return Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
}

export function write(form, values) {
  for (const name of FIELDS) form.elements[name].value = values[name] ?? "";
  if (FIELDS.slice(2).some((name) => values[name])) form.querySelector(".more-fields").open = true;
  form.elements.data.dispatchEvent(new Event("input", { bubbles: true }));
}

export const isSame = (one, other) => FIELDS.every((name) => (one[name] ?? "") === (other[name] ?? ""));

// What a form field says, with {{n}} as the number of this repetition.
const numbered = (text, n) => text.replaceAll("{{n}}", String(n));

// Throws what JSON.parse throws.
export function asEvent(form, n) {
  const posted = new FormData(form); // with the time zone that local-moment.js adds
  const event = { type: posted.get("type").trim() };
  event.data = JSON.parse(numbered(posted.get("data"), n).trim() || "{}");
  for (const name of FIELDS.slice(2)) {
    const text = numbered(posted.get(name).trim(), n);
    if (text) event[name] = text;
  }
  // The same id twice is the same event: without a place for the number, it goes to the end.
  if (event.id && !posted.get("id").includes("{{n}}")) event.id += `-${n}`;
  return event;
}

// What this browser keeps; one without storage, or a full one, keeps nothing.
export function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch (error) {
    console.info("not kept in this browser", error);
  }
}
