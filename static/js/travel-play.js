// Playing a page of the past: every second it goes on by 1, 10 or 60, until the log ends.

const FRAME_MS = 1000;

export class Player {
  #toggle;
  #speeds;
  #speed = 1;
  #timer = null;
  #where;
  #go;

  // `where` gives the present place and the last one, in ms since the epoch; `go` goes to one, and
  // is left out when it still goes to the one before.
  constructor(controls, where, go) {
    this.#where = where;
    this.#go = go;
    this.#toggle = controls.querySelector("[data-travel-toggle]");
    this.#speeds = [...controls.querySelectorAll("[data-travel-speed]")];
    this.#toggle.addEventListener("click", () => (this.#timer === null ? this.#play() : this.stop()));
    for (const button of this.#speeds) button.addEventListener("click", () => this.#choose(button));
    controls.hidden = false;
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#show(false);
  }

  #play() {
    clearInterval(this.#timer);
    const from = this.#where().at;
    const began = performance.now();
    this.#timer = setInterval(() => {
      const next = from + (performance.now() - began) * this.#speed;
      const { last } = this.#where();
      this.#go(Math.min(next, last), next >= last);
    }, FRAME_MS);
    this.#show(true);
  }

  #choose(button) {
    this.#speed = Number(button.dataset.travelSpeed);
    for (const other of this.#speeds) other.ariaPressed = String(other === button);
    if (this.#timer !== null) this.#play();
  }

  #show(isOn) {
    this.#toggle.ariaPressed = String(isOn);
    this.#toggle.querySelector("[data-label]").textContent = isOn ? "Pause" : "Play";
  }
}
