// Keeps the page of a demo true while it is open: it says how long is left, and
// loads itself anew when something has changed, or the time is over. Without it
// the page loads itself anew from time to time.
"use strict";

const page = document.querySelector("[data-demo]");
const words = page.querySelector("[data-words]");
const every = Number(page.dataset.every) * 1000;
const left = Number(page.dataset.left || 0); // milliseconds
// The page's own clock: a computer may tell the wrong time.
const made = performance.now();
const name = document.title.slice(document.title.lastIndexOf(" · "));

function spoken(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return (hours ? hours + ":" : "") + two(Math.floor(seconds / 60) % 60) + ":" + two(seconds % 60);
}

function tick() {
  const rest = left - (performance.now() - made);
  if (rest <= 0) {
    location.reload();
    return;
  }
  const text = spoken(Math.ceil(rest / 1000)) + " left";
  document.title = text + name;
  if (words) words.textContent = text;
  setTimeout(tick, Math.min(rest, 1000));
}

// What is said of a page: its mark, "" for one that is another.
async function mark() {
  const answer = await fetch(location.href, { cache: "no-store", redirect: "manual", headers: { accept: "text/html" } });
  if (answer.status >= 500) throw new Error("no answer");
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-demo]");
  return next ? next.dataset.demo : "";
}

async function look() {
  try {
    if (await mark() !== page.dataset.demo) {
      location.reload();
      return;
    }
  } catch {
    // Nobody could be asked; the next time will tell.
  }
  setTimeout(look, every);
}

if (left) tick();
setTimeout(look, every);
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
