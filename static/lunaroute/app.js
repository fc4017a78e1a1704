// Times in the reader's zone, and the keyboard. Everything works without it.
"use strict";

const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function relative(date) {
  const seconds = (date - Date.now()) / 1000;
  if (Math.abs(seconds) > 7 * 86400) return ABSOLUTE.format(date);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[3];
  return RELATIVE.format(Math.round(seconds / size), unit);
}

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    element.textContent = relative(date);
    element.title = ABSOLUTE.format(date);
  }
}

const items = () => [...document.querySelectorAll("[data-item]")];

function move(step) {
  const all = items();
  const at = all.findIndex((item) => item.classList.contains("selected"));
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  if (!next) return;
  all[at]?.classList.remove("selected");
  next.classList.add("selected");
  (next.querySelector("a.row") || next).focus({ preventScroll: true });
  next.scrollIntoView({ block: next.offsetHeight > innerHeight / 2 ? "start" : "nearest" });
}

const help = document.getElementById("help");
let waitsForPlace = false;

const keys = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.querySelector("[data-search]")?.focus(),
  "?": () => help.showModal(),
  o: () => {
    const all = document.querySelectorAll(".selected details");
    const open = ![...all].some((fold) => fold.open);
    all.forEach((fold) => { fold.open = open; });
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (waitsForPlace) {
    waitsForPlace = false;
    if (event.key === "s") location.href = "/ui/";
    return;
  }
  if (event.key === "g") {
    waitsForPlace = true;
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

document.querySelector("[data-help]").addEventListener("click", keys["?"]);
for (const select of document.querySelectorAll(".filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
// Empty fields stay out of the address.
document.querySelector(".filters")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});

addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll(".filters :disabled")) field.disabled = false;
});

// The outline follows the page.
const links = new Map([...document.querySelectorAll(".outline a")].map((a) => [a.getAttribute("href").slice(1), a]));
if (links.size) {
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id);
    const first = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id !== first) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const box = link.closest(".outline");
        if (box.scrollHeight > box.clientHeight) box.scrollTop = link.offsetTop - box.clientHeight / 2;
      }
    }
  }, { rootMargin: "-60px 0px -40% 0px" });
  document.querySelectorAll(".turn").forEach((turn) => observer.observe(turn));
}

showTimes();
setInterval(showTimes, 30000);
