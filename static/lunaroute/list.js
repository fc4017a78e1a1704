// The list and the dashboard follow the record: figures change in place, new sessions are announced, not pushed in.
"use strict";

(() => {
  const news = document.querySelector("[data-news]");
  if (!news) return;
  let pause = 500; // milliseconds
  let ready = false;
  const unseen = new Set();

  function rowsOf(id) {
    return document.querySelectorAll(`[data-session="${CSS.escape(id)}"]`);
  }

  function take(message) {
    if (message.ready) {
      ready = true;
      pause = 500;
    }
    const session = message.session;
    if (!session) return;
    const rows = rowsOf(session.session_id);
    for (const row of rows) {
      for (const [name, words] of Object.entries(session.shown)) {
        const place = row.querySelector(`[data-figure="${name}"]`);
        if (place && place.textContent !== words) place.textContent = words;
      }
      const mark = row.querySelector("[data-running]");
      if (mark) mark.hidden = !session.running;
    }
    if (!rows.length && ready) {
      unseen.add(session.session_id);
      news.hidden = false;
      news.textContent = unseen.size === 1 ? "One session has news: show it" : `${unseen.size} sessions have news: show them`;
    }
  }

  news.addEventListener("click", () => location.reload());

  function connect() {
    const address = new URL("/ui/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.onopen = () => socket.send(JSON.stringify({ have: {} }));
    socket.onmessage = (event) => take(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (event.code >= 4000) return;
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, 10000);
    };
  }
  connect();
})();
