// Times typed into the history's filter are local: one without a zone is sent with this zone's.

const NAIVE = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$/;

export function start() {
  for (const input of document.querySelectorAll("[data-local-moment]")) {
    input.form.addEventListener("formdata", (event) => {
      const text = input.value.trim();
      if (!NAIVE.test(text)) return;
      // A date alone would be read as UTC midnight; with a time it is read as local.
      const local = new Date(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T"));
      if (!Number.isNaN(local.getTime())) event.formData.set(input.name, local.toISOString());
    });
  }
}
