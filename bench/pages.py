"""How quickly a session of 1,000 exchanges opens and scrolls in a real Chromium."""

import tempfile
import time
from pathlib import Path
from statistics import median

from bench.clients import connect
from bench.conversations import Conversation
from bench.servers import settle
from tests.support.server import start_server
from tests.support.tools import chromium
from tests.support.upstream import FakeUpstream

EXCHANGES = 1000
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
}).observe({ type: "longtask", buffered: true });
"""


def record(port: int) -> str:
    """Have a session of `EXCHANGES` exchanges recorded; gives its id."""
    conversation = Conversation(7, 20_000, 1_500)
    sock = connect(port)
    for turn in conversation.turns(EXCHANGES):
        head = (
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"x-claude-code-session-id: {conversation.session_id}\r\nContent-Length: {len(turn.body)}\r\n\r\n"
        )
        sock.sendall(head.encode() + turn.body)
        answer = b""
        while b"\r\n0\r\n\r\n" not in answer:
            answer += sock.recv(65536)
    sock.close()
    return conversation.session_id


def bench_pages(table, line, rounds: int) -> None:
    """Print the page's weight, its first paint, and the longest task while it is scrolled to its end."""
    from playwright.sync_api import sync_playwright

    upstream = FakeUpstream().start()
    with tempfile.TemporaryDirectory(prefix="lunaroute-bench-", ignore_cleanup_errors=True) as home:
        server = start_server(Path(home), upstream.url)
        try:
            session = record(server.port)
            settle(server)
            table(
                "session of 1,000 exchanges",
                "HTML, KB",
                "first paint, ms",
                "loaded, ms",
                "longest task while scrolling, ms",
                "exchanges seen",
            )
            weights, paints, loads, tasks, seen = [], [], [], [], 0
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium(), args=["--no-sandbox", "--disable-background-networking"]
                )
                for _ in range(rounds):
                    page = browser.new_page(viewport={"width": 1400, "height": 900})
                    page.add_init_script(WATCH)
                    answer = page.goto(f"{server.url}/ui/sessions/{session}")
                    weights.append(len(answer.body()) / 1e3)
                    page.wait_for_load_state("networkidle")
                    paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
                    loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
                    page.evaluate("window.longest = 0")
                    ends = time.monotonic() + 15
                    while time.monotonic() < ends and page.locator("[data-more]").count():
                        page.mouse.wheel(0, 3000)
                        page.wait_for_timeout(60)
                    tasks.append(page.evaluate("window.longest"))
                    seen = page.locator(".turn").count()
                    page.close()
                browser.close()
            cells = [f"{median(v):.0f} ({min(v):.0f}–{max(v):.0f})" for v in (weights, paints, loads, tasks)]
            line(f"in Chromium, {rounds} rounds", *cells, str(seen))
        finally:
            server.stop()
            upstream.stop()


if __name__ == "__main__":
    from bench.__main__ import line as print_line
    from bench.__main__ import table as print_table

    bench_pages(print_table, print_line, 3)
