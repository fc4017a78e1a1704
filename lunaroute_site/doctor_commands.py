"""The command `lunaroute-server doctor`: what is wrong with an installation, and what mends it."""

import argparse
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from lunaroute_site.listening import trust
from lunaroute_site.upkeep.surroundings import codex, limits, program, variables

# Seconds that a provider may take to answer, and bytes of the disk that should be free.
PATIENCE, ROOM = 5.0, 1 << 30
MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


def main(arguments: list[str]) -> int:
    """Check everything; gives 1 where there is a problem."""
    options = _parser().parse_args(arguments)
    from lunaroute_site.config import ConfigError, current

    try:
        config = current()
    except ConfigError as error:
        wrong = {"check": "configuration", "level": "problem", "text": str(error), "remedy": ""}
        print(orjson.dumps([wrong]).decode() if options.json else f"{MARKS['problem']} configuration: {error}")
        return 1
    from lunaroute_site.record_commands import set_up

    set_up()
    findings = list(examine(config, options.offline))
    if options.fix:
        findings = _mend(findings, config, options.offline)
    if options.json:
        shown = [{k: v for k, v in asdict(f).items() if k != "fix"} for f in findings]
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        for finding in findings:
            print(f"{MARKS[finding.level]} {finding.check}: {finding.text}")
            if finding.remedy and finding.level != "ok":
                print(f"    {finding.remedy}")
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lunaroute-server doctor",
        description="Check home, configuration, database, index, files, clock, port, providers and this shell's variables.",
        epilog="Exit code: 0 all is well or only warned of, 1 there is a problem.",
    )
    parser.add_argument("--fix", action="store_true", help="mend what can be mended without losing anything")
    parser.add_argument("--offline", action="store_true", help="do not try to reach the providers")
    parser.add_argument("--json", action="store_true", help="one list of findings, for programs")
    return parser


def _mend(findings: list, config, is_offline: bool) -> list:
    for finding in findings:
        if finding.fix is not None:
            try:
                finding.fix()
                print(f"mended: {finding.check}: {finding.text}", file=sys.stderr)
            except Exception as error:
                print(f"could not be mended: {finding.check}: {finding.text} ({error})", file=sys.stderr)
    return list(examine(config, is_offline))


def examine(config, is_offline: bool = False) -> Iterator:
    """Run all checks; a check that breaks is a finding itself. Gives at least one finding for each."""
    from lunaroute_site.pidfile import running_server
    from sessions import checking
    from sessions.checking import OK, PROBLEM, Finding

    server = running_server(config.home)
    checks: list[tuple[str, Callable[[], Iterable]]] = [
        ("program", lambda: program(config.home, server)),
        ("home", lambda: home(config)),
        ("disk", lambda: disk(config.home)),
        ("configuration", lambda: configuration(config)),
        ("server", lambda: serving(config, server)),
        ("migrations", lambda: migrations()),
        ("database", checking.integrity),
        ("contents", checking.contents),
        ("index", checking.index),
        ("files", lambda: checking.files(config.session_recording.sessions_dir, config.identity, server is not None)),
        ("record", lambda: checking.unfinished(config.identity, server is not None)),
        ("clock", lambda: clock()),
        *([] if is_offline else [("providers", lambda: providers())]),
        ("variables", lambda: variables(config, os.environ, _port(config, server))),
        ("codex", lambda: codex(Path.home() / ".codex" / "config.toml", _port(config, server))),
        ("limits", lambda: limits(server.pid if server else None)),
    ]
    has_database = True
    for name, check in checks:
        if name in ("database", "contents", "index", "files", "record", "clock") and not has_database:
            continue
        try:
            found = list(check())
        except Exception as error:
            found = [Finding(name, PROBLEM, f"cannot be checked: {' '.join(str(error).split())}")]
        if name == "migrations":
            has_database = not any(finding.level == PROBLEM for finding in found)
        yield from found or [Finding(name, OK, "is fine")]


def home(config) -> Iterator:
    """Check that the home can be written, and read by nobody else."""
    from sessions.checking import OK, PROBLEM, WARNING, Finding

    folder = config.home
    if not folder.is_dir():
        yield Finding("home", WARNING, f"{folder} is not there yet", "the first start makes it")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("home", PROBLEM, f"{folder} cannot be written", "LUNAROUTE_HOME names another directory")
        return
    lines = config.session_recording.sessions_dir
    folders = [folder] if lines.is_relative_to(folder) or not lines.is_dir() else [folder, lines]
    open_ = [path for top in folders for path in (top, *top.rglob("*")) if _is_open(path)]
    if open_:
        text = f"others can read {len(open_)} files or directories ({open_[0]}{', …' if len(open_) > 1 else ''})"
        yield Finding(
            "home",
            PROBLEM,
            text,
            f"chmod -R go-rwx {' '.join(map(str, folders))}, or `lunaroute-server doctor --fix`",
            lambda: _close(open_),
        )
        return
    yield Finding("home", OK, str(folder))


def _is_open(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:  # a running server's files come and go
        return False
    return not stat.S_ISLNK(mode) and bool(mode & 0o077)


def _close(paths: list[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)


def disk(folder: Path) -> Iterator:
    """Check that there is room."""
    from sessions.checking import OK, WARNING, Finding

    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        text = f"{free / 1e6:.0f} MB are free where the home is"
        yield Finding(
            "disk", WARNING, text, "docs/retention.md: max_age_days and max_total_size_gb keep the store in bounds"
        )
    else:
        yield Finding("disk", OK, f"{free / 1e9:.1f} GB are free")


def configuration(config) -> Iterator:
    """Say where it comes from, and what it warns of."""
    from sessions.checking import OK, WARNING, Finding

    yield Finding(
        "configuration", OK, str(config.file) if config.file else "defaults and the environment; no file is named"
    )
    for note in config.notes():
        if not note.startswith("No providers configured"):
            yield Finding("configuration", WARNING, note)


def serving(config, server) -> Iterator:
    """Check the server that runs, or that one could."""
    import httpx

    from sessions.checking import OK, PROBLEM, WARNING, Finding

    if server is not None:
        try:
            said = httpx.get(f"{server.url}/readyz", timeout=PATIENCE, trust_env=False, verify=trust(config.tls)).json()
        except (httpx.HTTPError, ValueError) as error:
            text = f"process {server.pid} runs and does not answer at {server.url} ({type(error).__name__})"
            yield Finding("server", PROBLEM, text, "`lunaroute-server stop`, then start it again; its log says why")
            return
        yield Finding("server", OK, f"runs (process {server.pid}) on {server.url}")
        for problem in said.get("problems", []):
            yield Finding("server", PROBLEM, problem, "the server's log says more")
        return
    yield Finding("server", OK, "does not run")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        remedy = f"`lsof -i :{config.port}` says who has it; --port or LUNAROUTE_PORT picks another"
        if _is_lunaroute(config.port):
            remedy = f"a LunaRoute of another home has it; {remedy}"
        text = f"port {config.port} of {config.host} cannot be had ({error.strerror})"
        yield Finding("server", PROBLEM if config.port else WARNING, text, remedy)


def _is_lunaroute(port: int) -> bool:
    import httpx

    with suppress(httpx.HTTPError, ValueError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1, trust_env=False).json() == {"status": "ok"}
    return False


def _port(config, server) -> int:
    """The port that clients are to use: that of the server that runs, else of the one that would."""
    return (urlsplit(server.url).port if server else None) or config.port


def migrations() -> Iterator:
    """Check that the database can be asked, and is of this program's version."""
    from django.db import DatabaseError

    from lunaroute_site.upkeep import upgrade
    from sessions.checking import PROBLEM, WARNING, Finding

    try:
        there = upgrade.migrations_there()
        upgrade.refuse_newer()
    except upgrade.UpgradeProblem as error:
        yield Finding("migrations", PROBLEM, str(error))
        return
    except DatabaseError as error:
        text = f"the database cannot be asked ({' '.join(str(error).split())})"
        remedy = "is DATABASE_URL right, and does its server run? For SQLite: `lunaroute-server db rebuild`"
        yield Finding("migrations", PROBLEM, text, remedy)
        return
    missing = upgrade.migrations_here() - there
    if not there:
        yield Finding("migrations", PROBLEM, "there is no record yet", "the first start makes it")
    elif missing:
        text = f"the database lacks {len(missing)} changes of this version"
        yield Finding("migrations", WARNING, text, "the next start makes them")


def clock() -> Iterator:
    """Check the machine's time against what was recorded."""
    from django.db.models import Max

    from sessions.checking import PROBLEM, WARNING, Finding
    from sessions.models import Exchange

    now = datetime.now(UTC)
    remedy = "set the machine's clock: days of the record, retention and the ends of rests go by it"
    if now.year < 2025:
        yield Finding("clock", PROBLEM, f"says {now:%Y-%m-%d}", remedy)
    last = Exchange.objects.aggregate(last=Max("started_at"))["last"]
    if last is not None and last > now + timedelta(hours=1):
        yield Finding(
            "clock", WARNING, f"the last exchange is of {last:%Y-%m-%d %H:%M}, which is still to come", remedy
        )


def providers() -> Iterator:
    """Try to reach each enabled provider; any answer will do."""
    import httpx

    from routing import sources
    from routing.overview import shown_url
    from sessions.checking import OK, PROBLEM, Finding

    found = sources.load(*sources.from_configuration()).providers
    for provider in found.values():
        if not provider.enabled:
            continue
        name = f"provider {provider.name}"
        try:
            status = httpx.get(provider.base_url, timeout=PATIENCE, follow_redirects=False).status_code
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            remedy = "is the network there, does the name resolve, is a proxy needed (HTTPS_PROXY), a certificate (SSL_CERT_FILE)?"
            yield Finding(name, PROBLEM, f"{shown_url(provider.base_url)} cannot be reached ({why})", remedy)
        else:
            yield Finding(name, OK, f"{shown_url(provider.base_url)} answers ({status})")
