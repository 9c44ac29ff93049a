// The page of an event follows its chain: [data-chain-from] is asked for again, soon while something
// is under way and seldom when all is quiet, and not at all while nobody looks. Unfolded attempts
// stay unfolded.

function unfolded() {
  return [...document.querySelectorAll("#event-deliveries details")].map((each) => [each.id, each.open]);
}

function foldAs(before) {
  for (const [id, isOpen] of before) {
    const details = document.getElementById(id);
    if (details) details.open = isOpen;
  }
}

async function follow(element) {
  const head = element.querySelector("[data-again]");
  const again_ms = Number(head?.dataset.again ?? 10) * 1000;
  await new Promise((resolve) => setTimeout(resolve, again_ms));
  if (document.hidden) return;
  let before = [];
  const look = () => (before = unfolded()); // as late as that: the answer may take a while
  element.addEventListener("htmx:before:swap", look, { once: true });
  await htmx.ajax("GET", `${element.dataset.chainFrom}?version=${head?.dataset.version ?? ""}`, {
    source: element,
    target: element,
    swap: "innerMorph",
  });
  foldAs(before);
}

async function start() {
  const element = document.querySelector("[data-chain-from]");
  while (element?.isConnected) {
    try {
      await follow(element);
    } catch (error) {
      console.info("the chain could not be asked for", error);
    }
  }
}

start();
