"""The command `lunaroute-server doctor`: what is wrong with an installation, and what mends it."""

import argparse
import os
import resource
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

# Seconds that a provider may take to answer, bytes of the disk that should be free, and open files that a day may need.
PATIENCE, ROOM, OPEN_FILES = 5.0, 1 << 30, 1024
MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


def main(arguments: list[str]) -> int:
    """Check everything; gives 1 where there is a problem."""
    options = _parser().parse_args(arguments)
    from lunaroute_site.config import ConfigError, current

    try:
        config = current()
    except ConfigError as error:
        print(f"{MARKS['problem']} configuration: {error}")
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
        ("variables", lambda: variables(config, os.environ)),
        ("limits", lambda: limits()),
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
    open_ = [p for p in (folder, *folder.rglob("*")) if not p.is_symlink() and stat.S_IMODE(p.stat().st_mode) & 0o077]
    if open_:
        text = f"others can read {len(open_)} files or directories of it ({open_[0]}{', …' if len(open_) > 1 else ''})"
        yield Finding(
            "home",
            PROBLEM,
            text,
            f"chmod -R go-rwx {folder}, or `lunaroute-server doctor --fix`",
            lambda: _close(open_),
        )
        return
    yield Finding("home", OK, str(folder))


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
            said = httpx.get(f"{server.url}/readyz", timeout=PATIENCE, trust_env=False).json()
        except (httpx.HTTPError, ValueError) as error:
            text = f"process {server.pid} runs and does not answer at {server.url} ({type(error).__name__})"
            yield Finding("server", PROBLEM, text, "`lunaroute-server stop`, then start it again; its log says why")
            return
        yield Finding("server", OK, f"runs (process {server.pid}) on {server.url}")
        for problem in said.get("problems", []):
            yield Finding("server", PROBLEM, problem, "the server's log says more")
        return
    yield Finding("server", OK, "does not run")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1" if config.host == "localhost" else config.host, config.port))
        except OSError as error:
            remedy = f"`lsof -i :{config.port}` says who has it; --port or LUNAROUTE_PORT picks another"
            level = PROBLEM if config.port else WARNING
            yield Finding(
                "server", level, f"port {config.port} of {config.host} cannot be had ({error.strerror})", remedy
            )


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
            yield Finding(name, PROBLEM, f"{provider.base_url} cannot be reached ({why})", remedy)
        else:
            yield Finding(name, OK, f"{provider.base_url} answers ({status})")


def variables(config, environ) -> Iterator:
    """Check whether clients that are started in this shell would use this server."""
    from sessions.checking import OK, WARNING, Finding

    port = config.port
    wanted = {"ANTHROPIC_BASE_URL": f"http://localhost:{port}", "OPENAI_BASE_URL": f"http://localhost:{port}/v1"}
    for name, value in wanted.items():
        given = environ.get(name, "")
        try:
            parts = urlsplit(given)
            is_ours = parts.port == port and parts.hostname in ("localhost", "127.0.0.1", "::1", config.host)
        except ValueError:
            is_ours, parts = False, urlsplit("")
        if not given:
            yield Finding("variables", WARNING, f"{name} is not set in this shell", f"export {name}={value}")
        elif not is_ours:
            yield Finding(
                "variables", WARNING, f"{name} is {given}, which is not this server", f"export {name}={value}"
            )
        elif parts.path.rstrip("/") != urlsplit(value).path:
            yield Finding("variables", WARNING, f"{name} is {given}", f"export {name}={value}")
        else:
            yield Finding("variables", OK, f"{name} is {given}")
    proxied = any(environ.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"))
    direct = environ.get("NO_PROXY", environ.get("no_proxy", ""))
    if proxied and "localhost" not in direct and "127.0.0.1" not in direct and "*" not in direct:
        text = "HTTP_PROXY is set, and clients may ask it for this server"
        yield Finding("variables", WARNING, text, "export NO_PROXY=localhost,127.0.0.1")


def limits() -> Iterator:
    """Check how many files and connections a process may have open."""
    from sessions.checking import WARNING, Finding

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES and soft != resource.RLIM_INFINITY:
        text = f"a process may have {soft} files open; each stream needs two"
        yield Finding(
            "limits", WARNING, text, f"ulimit -n {min(hard, 4096) if hard > 0 else 4096}, or LimitNOFILE= of the unit"
        )
