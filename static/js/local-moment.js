// Times in a filter are local: a whole one with UTC's zone, as links have it, is shown in this
// zone, and one that is sent without a zone gets this one's.

const NAIVE = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/;
const WHOLE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.0+)?Z$/; // finer ones would be cut off

const two = (number) => String(number).padStart(2, "0");

function shown(text) {
  const moment = WHOLE.test(text) ? new Date(text) : null;
  if (!moment || Number.isNaN(moment.getTime())) return text;
  const [h, m, s] = [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(two);
  const day = [moment.getFullYear(), two(moment.getMonth() + 1), two(moment.getDate())].join("-");
  const local = `${day} ${h}:${m}:${s}`;
  // The hour that comes twice in autumn has no local name of its own.
  return new Date(local.replace(" ", "T")).getTime() === moment.getTime() ? local : text;
}

export function start() {
  for (const input of document.querySelectorAll("[data-local-moment]")) {
    const local = shown(input.value);
    if (local !== input.value) input.value = local;
    input.form.addEventListener("formdata", (event) => {
      const text = input.value.trim();
      if (!NAIVE.test(text)) return;
      // A date alone would be read as UTC midnight; with a time it is read as local.
      const moment = new Date(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T"));
      if (!Number.isNaN(moment.getTime())) event.formData.set(input.name, moment.toISOString());
    });
  }
}
