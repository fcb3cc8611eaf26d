"use strict";
// Looks for something new every two seconds and keeps open what the reader has opened.
const PERIOD_MS = 2000;

async function refresh() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const was = document.getElementById("messages");
    const now = fresh.getElementById("messages");
    if (was.dataset.revision !== now.dataset.revision) {
      for (const open of was.querySelectorAll("details[open]")) {
        const same = now.querySelector("#" + CSS.escape(open.id));
        if (same) same.open = true;
      }
      const focused = document.activeElement?.closest("details")?.id;
      was.replaceWith(document.adoptNode(now));
      if (focused) document.getElementById(focused)?.querySelector("summary").focus({ preventScroll: true });
    }
    state.textContent = fresh.getElementById("state").textContent;
  } catch {
    state.textContent = "The inbox does not answer.";
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);
