// The flow graph: what is pointed at says its figures and stands out; arrows walk from box to box.

const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

function linkOf(target) {
  return target.closest?.(".flow-edge, .flow-node");
}

// Lines that touch a box, or the one line, with their labels, and the boxes at their ends.
function connected(graph, link) {
  const lines = link.dataset.node
    ? [...graph.querySelectorAll(".flow-edge")].filter(({ dataset }) =>
        [dataset.from, dataset.to].includes(link.dataset.node),
      )
    : [link];
  const ends = new Set(lines.flatMap(({ dataset }) => [dataset.from, dataset.to]));
  const boxes = [...graph.querySelectorAll(".flow-node")].filter(
    (box) => box === link || ends.has(box.dataset.node),
  );
  const ids = new Set(lines.map(({ id }) => id));
  const labels = [...graph.querySelectorAll(".flow-label")].filter(({ dataset }) => ids.has(dataset.of));
  return [...lines, ...labels, ...boxes];
}

function point(root, link) {
  const graph = root.querySelector(".flow-graph");
  for (const each of graph.querySelectorAll(".is-near")) each.classList.remove("is-near");
  graph.classList.toggle("is-pointed", Boolean(link));
  if (!link) return;
  for (const each of connected(graph, link)) each.classList.add("is-near");
  root.parentElement.querySelector("[data-flow-says]").textContent = link.getAttribute("aria-label");
}

// The nearest box in a direction; what is beside counts three times as far as what is ahead.
function nearest(graph, from, [dx, dy]) {
  const [x, y] = [Number(from.dataset.x), Number(from.dataset.y)];
  let best = null;
  let least = Infinity;
  for (const box of graph.querySelectorAll(".flow-node")) {
    const [right, down] = [Number(box.dataset.x) - x, Number(box.dataset.y) - y];
    const ahead = right * dx + down * dy;
    if (ahead <= 0.5) continue;
    const distance = ahead + 3 * Math.abs(right * dy + down * dx);
    if (distance < least) [best, least] = [box, distance];
  }
  return best;
}

// Whether there is more to the sides: said in words, and by a fade where it goes on.
function tellWider(root) {
  const note = root.parentElement.querySelector("[data-flow-wider]");
  const look = () => {
    const rest = root.scrollWidth - root.clientWidth;
    if (note) note.hidden = rest <= 1;
    root.classList.toggle("is-more-left", root.scrollLeft > 1);
    root.classList.toggle("is-more-right", root.scrollLeft < rest - 1);
  };
  root.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(root);
  // A refresh morphs in what the server wrote, which knows no widths.
  new MutationObserver(look).observe(root, { attributeFilter: ["class"] });
  look();
}

// A refresh morphs in a graph at which nobody points.
function pointAgain(root) {
  const here = root.querySelector(".flow-edge:hover, .flow-node:hover") ?? linkOf(document.activeElement);
  if (here && root.contains(here)) point(root, here);
}

function start(root) {
  tellWider(root);
  document.addEventListener("htmx:after:swap", () => pointAgain(root));
  root.addEventListener("pointerover", (event) => point(root, linkOf(event.target)));
  root.addEventListener("pointerleave", () => point(root, linkOf(document.activeElement)));
  root.addEventListener("focusin", (event) => point(root, linkOf(event.target)));
  root.addEventListener("focusout", () => point(root, null));
  root.addEventListener("keydown", (event) => {
    const box = event.target.closest?.(".flow-node");
    if (!box || !(event.key in WAYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    nearest(box.ownerSVGElement, box, WAYS[event.key])?.focus();
  });
}

for (const root of document.querySelectorAll("[data-flow]")) start(root);
