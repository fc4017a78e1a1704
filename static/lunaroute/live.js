// A page that follows its session: new and changed exchanges come over a WebSocket, as the server renders them.
// An element with data-live="<path>" holds the articles; what the page has stands in them (sessions/live.py).
"use strict";

(() => {
  const box = document.querySelector("[data-live]");
  if (!box) return;

  const articles = new Map(); // request id → its article

  // What the page has: the server tells the rest. Exchanges that a longer page would show come when it is scrolled there.
  function asked() {
    const have = {};
    articles.clear();
    for (const article of box.querySelectorAll(":scope > article")) {
      have[article.dataset.request] = article.dataset.version;
      articles.set(article.dataset.request, article);
    }
    const numbers = [...articles.values()].map(numberOf);
    const last = box.querySelector(":scope > [data-more]") ? Math.max(...numbers) : null;
    return { have, first: numbers.length ? Math.min(...numbers) : 1, last };
  }

  // -- what the reader is told ----------------------------------------------------------------------------

  const status = document.createElement("p");
  status.className = "live-status";
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  box.prepend(status);

  function say(state, text) {
    status.dataset.state = state;
    if (status.textContent !== text) status.textContent = text;
  }

  // -- the page -------------------------------------------------------------------------------------------

  function numberOf(article) {
    return Number(article.id.slice(1));
  }

  function changed(elements) {
    document.dispatchEvent(new CustomEvent("lunaroute:changed", { detail: { elements } }));
  }

  // An article has its real height only when it has been drawn: the end moves once more after it came.
  const SETTLES = 500; // milliseconds
  let followUntil = 0;

  function toEnd() {
    document.scrollingElement.scrollTo({ top: document.scrollingElement.scrollHeight, behavior: "instant" });
  }

  new ResizeObserver(() => {
    if (performance.now() < followUntil) toEnd();
  }).observe(box);
  for (const event of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    addEventListener(event, () => { followUntil = 0; }, { passive: true }); // the reader goes elsewhere
  }

  // Keeps the reader's place: at the end the page follows, elsewhere what is read stays where it is.
  function inPlace(change) {
    const root = document.scrollingElement;
    const atEnd = root.scrollHeight > root.clientHeight && root.scrollTop + root.clientHeight > root.scrollHeight - 40;
    const anchor = atEnd ? null : [...articles.values()].find((a) => a.getBoundingClientRect().bottom > 0);
    const id = anchor && anchor.id;
    const before = anchor && anchor.getBoundingClientRect().top;
    change();
    if (atEnd) {
      followUntil = performance.now() + SETTLES;
      toEnd();
    } else if (anchor) {
      const now = anchor.isConnected ? anchor : document.getElementById(id);
      const moved = now ? now.getBoundingClientRect().top - before : 0;
      if (moved) root.scrollBy({ top: moved, behavior: "instant" });
    }
  }

  // Folds have no names: one is the same if it is the same of its kind within its article.
  function keepFolds(old, fresh) {
    const foldsOf = (article) => {
      const counts = {};
      return [...article.querySelectorAll("details")].map((fold) => {
        const kind = fold.classList[0] || "";
        counts[kind] = (counts[kind] || 0) + 1;
        return [kind + counts[kind], fold];
      });
    };
    const folds = new Map(foldsOf(fresh));
    for (const [key, fold] of foldsOf(old)) {
      if (folds.has(key)) folds.get(key).open = fold.open;
    }
  }

  function place(article, number) {
    const next = [...box.querySelectorAll(":scope > article")].find((other) => numberOf(other) > number);
    const last = [...box.querySelectorAll(":scope > article")].pop();
    if (next) next.before(article);
    else if (last) last.after(article);
    else status.after(article);
  }

  function putTurn(turn) {
    const template = document.createElement("template");
    template.innerHTML = turn.html; // rendered and escaped by the server
    const article = template.content.querySelector("article");
    if (!article) return null;
    const old = articles.get(turn.request_id);
    if (old) {
      const text = old.querySelector(":scope > .live-text");
      if (text) text.remove();
      keepFolds(old, article);
      if (text && turn.running) article.append(text);
      if (old.classList.contains("selected")) article.classList.add("selected");
      const hadFocus = document.activeElement === old;
      if (numberOf(old) === turn.number) {
        old.replaceWith(article);
      } else {
        old.remove();
        place(article, turn.number);
      }
      if (hadFocus) article.focus({ preventScroll: true });
    } else {
      place(article, turn.number);
    }
    articles.set(turn.request_id, article);
    return article;
  }

  // Text under way is a stranger's: it only ever becomes text.
  function putText(partial) {
    const article = articles.get(partial.request_id);
    if (!article) return;
    let text = article.querySelector(":scope > .live-text");
    if (!text) {
      text = document.createElement("section");
      text.className = "said assistant live-text";
      const heading = document.createElement("h3");
      heading.textContent = "assistant";
      text.append(heading);
      article.append(text);
    }
    for (const piece of partial.pieces) {
      let block = text.querySelector(`[data-block="${Number(piece.index)}"]`);
      if (!block) {
        const outer = document.createElement("div");
        outer.className = "live-block";
        outer.dataset.kind = piece.kind;
        if (piece.kind !== "text") {
          const name = document.createElement("p");
          name.className = piece.kind === "tool_call" ? "tool" : "note";
          name.textContent = piece.kind === "tool_call" ? piece.name : "Thinking";
          outer.append(name);
        }
        block = document.createElement("div");
        block.className = piece.kind === "tool_call" ? "text code" : "text prose";
        block.dataset.block = piece.index;
        outer.append(block);
        text.append(outer);
      }
      if (piece.start || !block.firstChild) block.textContent = piece.text;
      else block.firstChild.appendData(piece.text);
    }
  }

  function putFigures(html) {
    const old = document.getElementById("figures");
    const template = document.createElement("template");
    template.innerHTML = html; // rendered and escaped by the server
    const fresh = template.content.firstElementChild;
    if (old && fresh) old.replaceWith(fresh);
    return fresh;
  }

  function take(message) {
    const touched = [];
    inPlace(() => {
      for (const turn of message.turns || []) {
        const article = putTurn(turn);
        if (article) touched.push(article);
      }
      if (message.figures) touched.push(putFigures(message.figures));
      if (message.partial) putText(message.partial);
    });
    if (touched.length) changed(touched);
    if (message.ready) {
      pause = FIRST_PAUSE;
      say("live", "Live");
    }
  }

  // -- the line -------------------------------------------------------------------------------------------

  const FIRST_PAUSE = 500, LAST_PAUSE = 10000; // milliseconds
  let pause = FIRST_PAUSE;
  let timer = 0;
  let line = null;

  function connect() {
    timer = 0;
    const address = new URL(box.dataset.live, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    line = socket;
    socket.onopen = () => socket.send(JSON.stringify(asked()));
    socket.onmessage = (event) => socket === line && take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (socket !== line) return; // another has taken its place
      if (event.code >= 4000) {
        say("ended", event.reason || "No longer live");
        return;
      }
      say("waiting", "Reconnecting…");
      timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, LAST_PAUSE);
    };
  }

  // More of the session has been loaded: it is to be followed too. Each piece of it says so, one new line is enough.
  let loaded = 0;
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!box.contains(event.target)) return;
    clearTimeout(loaded);
    loaded = setTimeout(() => {
      const old = line;
      clearTimeout(timer);
      connect();
      old.close();
    }, 100);
  });

  // Who comes back to the page, or to the network, need not wait.
  function hurry() {
    if (timer && !document.hidden) {
      clearTimeout(timer);
      connect();
    }
  }
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);

  connect();
})();
