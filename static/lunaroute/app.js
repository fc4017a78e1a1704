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

function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const text = relative(date);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = ABSOLUTE.format(date);
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

const selected = () => document.querySelector("[data-item].selected");

const help = document.getElementById("help");
let waitsForPlace = false;

const keys = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.querySelector("[data-search]")?.focus(),
  "?": () => help.showModal(),
  r: () => selected()?.querySelector("[data-raw]")?.click(),
  d: () => (selected() || document).querySelector("[data-diff]")?.click(),
  s: () => (selected()?.querySelector("[data-star]") || document.querySelector(".session-head [data-star]"))?.click(),
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
    const place = { d: "/ui/", s: "/ui/sessions", a: "/ui/analytics", r: "/ui/routing", e: "/ui/settings" }[event.key];
    if (place) location.href = place;
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

// A copy button takes the code beside it; where the browser has no clipboard for us, it is selected.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const code = button?.parentElement.querySelector("code");
  if (!code) return;
  try {
    await navigator.clipboard.writeText(code.textContent);
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  } catch {
    getSelection().selectAllChildren(code);
  }
});

// Empty fields stay out of the address, with and without htmx.
document.addEventListener("htmx:configRequest", (event) => {
  const given = event.detail.parameters;
  for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
});
document.querySelector(".filters")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  setTimeout(() => { for (const field of event.target.elements) field.disabled = false; });
});
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll(".filters :disabled")) field.disabled = false;
});

// The outline follows the page; its links stay on the page where the exchange is there already.
const seen = new Set();
const isBefore = (a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING;
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.isIntersecting ? seen.add(entry.target) : seen.delete(entry.target);
  const first = [...seen].filter((turn) => turn.isConnected).reduce((a, b) => (a && isBefore(a, b) ? a : b), null);
  const box = document.querySelector(".outline");
  if (!first || !box) return;
  const link = box.querySelector(`[data-turn="${CSS.escape(first.id)}"]`);
  const current = box.querySelector("[aria-current]");
  if (link === current) return;
  // Measured before anything is changed, or all of the page would be laid out once more.
  const top = link && box.scrollHeight > box.clientHeight ? link.offsetTop - box.clientHeight / 2 : null;
  if (top !== null) box.scrollTop = top;
  current?.removeAttribute("aria-current");
  link?.setAttribute("aria-current", "true");
}, { rootMargin: "-60px 0px -40% 0px" });

document.querySelector(".outline")?.addEventListener("click", (event) => {
  const link = event.target.closest("[data-turn]");
  if (!link || !document.getElementById(link.dataset.turn)) return;
  event.preventDefault();
  location.hash = link.dataset.turn;
});

// What was searched for is marked, and the first place of it shown.
function markFound() {
  const timeline = document.querySelector(".timeline");
  if (!timeline || (!timeline.dataset.find && !timeline.dataset.at)) return;
  const at = timeline.dataset.at && document.querySelector(`[data-request="${CSS.escape(timeline.dataset.at)}"]`);
  const words = (timeline.dataset.find || "").match(/"[^"]+"|[^\s"]+/g) || [];
  const wanted = words.filter((word) => !word.startsWith("-")).map((word) => word.replace(/^"|"$|\*$/g, "").toLowerCase()).filter(Boolean);
  const ranges = [];
  if (wanted.length && window.Highlight) {
    const walker = document.createTreeWalker(timeline, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && ranges.length < 2000; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      for (const word of wanted) {
        for (let place = text.indexOf(word); place >= 0; place = text.indexOf(word, place + word.length)) {
          const range = new Range();
          range.setStart(node, place);
          range.setEnd(node, Math.min(place + word.length, node.length));
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }
  if (!timeline.dataset.shown) {
    timeline.dataset.shown = "true";
    const first = ranges.find((range) => !at || at.contains(range.startContainer));
    for (let fold = first?.startContainer.parentElement.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    at?.classList.add("selected");
    (first?.startContainer.parentElement || at)?.scrollIntoView({ block: "center" });
  }
}

// htmx tells of each new exchange by itself: they wait for one another, so that what is there already is left alone.
const fresh = new Set();

function refresh(roots) {
  if (!fresh.size) queueMicrotask(showFresh);
  for (const root of roots) fresh.add(root);
}

function showFresh() {
  for (const root of fresh) {
    showTimes(root);
    if (root.matches?.(".turn")) observer.observe(root);
    root.querySelectorAll(".turn").forEach((turn) => observer.observe(turn));
  }
  fresh.clear();
  markFound();
}

// Where the places do not fit side by side, the one where we are is seen.
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

refresh([document]);
document.addEventListener("htmx:afterSettle", (event) => refresh([event.target]));
document.addEventListener("lunaroute:changed", (event) => refresh(event.detail?.elements || [document]));
setInterval(() => showTimes(), 30000);
