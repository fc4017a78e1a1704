"""Search and list over 100,000 messages in 2,000 sessions: `python -m bench.search [POSTGRES_URL]`."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

SESSIONS, EXCHANGES = 2000, 25  # each with a question and an answer
A_DAY = 20  # sessions
COMMON, PAIR, RARE = "refactor", ("migration", "timeout"), "quokka"


def _text(words: list[str], weights: list[float], pick: random.Random) -> str:
    return " ".join(pick.choices(words, cum_weights=weights, k=pick.randint(40, 160)))


def _vocabulary(pick: random.Random) -> tuple[list[str], list[float]]:
    """Words as frequent as in a language, a part of them identifiers and paths."""
    letters = "etaoinshrdlucmfwypvbgk"

    def word() -> str:
        return "".join(pick.choices(letters, k=pick.randint(3, 9)))

    words = [word() for _ in range(20_000)]
    words += [f"{word()}_{word()}" for _ in range(5000)] + [f"{word()}{word().title()}" for _ in range(5000)]
    words += [f"src/{word()}/{word()}.py" for _ in range(2000)]
    pick.shuffle(words)
    total, weights = 0.0, []
    for rank in range(1, len(words) + 1):
        total += 1 / rank
        weights.append(total)
    return words, weights


def _exchanges(sessions: int, exchanges: int, pick: random.Random) -> Iterator[tuple[int, bytes, bytes]]:
    """Give (session, the new message, the answer), as JSON."""
    import orjson

    words, weights = _vocabulary(pick)
    for number in range(sessions):
        for _ in range(exchanges):
            said = []
            for _ in range(2):
                text = _text(words, weights, pick)
                text += f" {COMMON}" if pick.random() < 0.5 else ""
                text += "".join(f" {word}" for word in PAIR if pick.random() < 0.1)
                text += f" {RARE}" if pick.random() < 0.0002 else ""
                said.append(text)
            content = [{"type": "text", "text": said[1]}]
            yield (
                number,
                orjson.dumps({"role": "user", "content": said[0]}),
                orjson.dumps({"role": "assistant", "content": content}),
            )


def fill(sessions: int = SESSIONS, exchanges: int = EXCHANGES) -> float:
    """Write rows as the recorder does, without its parsing, and index them. Gives the seconds that indexing took."""
    from django.db import transaction

    from sessions import content
    from sessions.models import Exchange, Node, Session
    from sessions.search import Backfill
    from sessions.split import place_after

    apart = timedelta(days=1) / A_DAY
    start = datetime.now(UTC) - apart * sessions
    rows = [
        Session(
            session_id=f"bench-{n}", title=f"Session number {n}", requests=exchanges, client="claude-code", provider="anthropic",
            model_used="claude-sonnet-4-5", started_at=start + apart * n, completed_at=start + apart * (n + 1),
        )
        for n in range(sessions)
    ]  # fmt: skip
    with transaction.atomic():
        Session.objects.bulk_create(rows)
        blobs: dict[bytes, bytes] = {}
        nodes, made = [], []
        chains: dict[int, tuple[bytes, int]] = {}  # by session, the last place and how deep it is
        for count, (number, message, answer) in enumerate(_exchanges(sessions, exchanges, random.Random(1))):
            parent, depth = chains.get(number, (b"", 0))
            blob, place = place_after(parent, message)
            key = content.key_of(answer)
            blobs[blob], blobs[key] = message, answer
            chains[number] = (place, depth + 1)
            nodes.append(Node(key=place, parent=parent, blob=blob, depth=depth + 1))
            made.append(
                Exchange(
                    session_id=rows[number].pk, recorder="bench", request_id=f"bench-{count}", listener="anthropic",
                    provider="anthropic", dialect="anthropic", method="POST", path="/v1/messages", success=True,
                    started_at=rows[number].started_at, leaf=place, messages_from=depth, answer=key,
                )
            )  # fmt: skip
        content.put(blobs)
        Node.objects.bulk_create(nodes, ignore_conflicts=True)
        Exchange.objects.bulk_create(made)
    began = time.perf_counter()
    backfill = Backfill()
    while backfill.step():
        pass
    return time.perf_counter() - began


def _ask(**wanted: object) -> int:
    from sessions import queries
    from sessions.search import snippets

    found = queries.find(queries.SessionFilter(**wanted))
    total = found.count()
    rows = list(found[:50])
    snippets(wanted.get("text_search") or "", rows)
    return total


def measure(rounds: int) -> dict[str, tuple[int, list[float]]]:
    """Give, for each question, how many sessions it finds and how long it took, in milliseconds."""
    questions: dict[str, Callable[[], int]] = {
        "a rare word": lambda: _ask(text_search=RARE),
        "a word in half of the messages": lambda: _ask(text_search=COMMON),
        "two words": lambda: _ask(text_search=" ".join(PAIR)),
        "a common word and a rare one": lambda: _ask(text_search=f"{COMMON} {RARE}"),
        "a phrase": lambda: _ask(text_search=f'"{PAIR[0]} {PAIR[1]}"'),
        "a prefix": lambda: _ask(text_search="refa*"),
        "the list": lambda: _ask(),
    }
    found = {}
    for name, question in questions.items():
        count, times = question(), []
        for _ in range(rounds):
            began = time.perf_counter()
            question()
            times.append((time.perf_counter() - began) * 1e3)
        found[name] = (count, times)
    return found


def measure_page(path: str, rounds: int) -> tuple[int, list[float]]:
    """Give the status of a page, and the milliseconds that each of `rounds` requests takes Django."""
    from django.test import Client

    client, times, status = Client(headers={"host": "localhost"}), [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        status = client.get(path).status_code
        times.append((time.perf_counter() - began) * 1e3)
    return status, times


def bench_search(rounds: int = 40, sessions: int = SESSIONS, exchanges: int = EXCHANGES, url: str = "") -> None:
    """Fill a database of its own (SQLite, or PostgreSQL at `url`), and print how long searching it takes."""
    import django

    if url:
        os.environ["DATABASE_URL"] = url
    with tempfile.TemporaryDirectory(prefix="lunaroute-bench-") as home:
        os.environ["LUNAROUTE_HOME"] = home
        os.environ["DJANGO_SETTINGS_MODULE"] = "lunaroute_site.settings"
        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0, interactive=False)
        began = time.perf_counter()
        took = fill(sessions, exchanges)
        if url:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")  # what PostgreSQL does by itself a minute later
        count = sessions * exchanges
        print(
            f"\n{2 * count} messages in {sessions} sessions on {connection.vendor}, made in {time.perf_counter() - began:.0f} s;"
            f" indexing took {took / count * 1e3:.2f} ms an exchange\n"
        )
        print("| search | sessions found | p50, ms | p95, ms |\n| --- | --- | --- | --- |")
        for name, (found, times) in measure(rounds).items():
            p95 = sorted(times)[max(int(len(times) * 0.95) - 1, 0)]
            print(f"| {name} | {found} | {median(times):.1f} | {p95:.1f} |", flush=True)
        print("\n| page | status | p50, ms | longest, ms |\n| --- | --- | --- | --- |")
        for path in ("/ui/", "/ui/sessions", "/ui/analytics"):
            status, times = measure_page(path, 10)
            print(f"| {path} | {status} | {median(times):.1f} | {max(times):.1f} |", flush=True)
        connection.close()


if __name__ == "__main__":
    bench_search(url=sys.argv[1] if len(sys.argv) > 1 else "")
