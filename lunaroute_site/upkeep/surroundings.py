"""Checks of what is around the server: Python and packages, this shell, the clients' own files, the system's limits."""

import resource
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

# Open files that a busy day may need: two for each stream, and those of pages.
OPEN_FILES = 4096


def program(home: Path, server) -> Iterator:
    """Check Python, the packages, and whether the server that runs on `home` is of these files."""
    from importlib import metadata

    from sessions.checking import OK, WARNING, Finding

    lines: list[str] = []
    root = Path(__file__).resolve().parent.parent.parent
    listed = root / "requirements.txt"
    if listed.is_file():
        lines = [line.split("#")[0].strip() for line in listed.read_text().splitlines()]
    else:
        with suppress(metadata.PackageNotFoundError):
            lines = metadata.requires("lunaroute") or []
    wrong = []
    for name, _, version in (line.partition(";")[0].partition("==") for line in lines if "==" in line):
        try:
            found = metadata.version(name.partition("[")[0].strip())
        except metadata.PackageNotFoundError:
            found = "missing"
        if found != version.strip():
            wrong.append(f"{name.strip()} is {found}, tested with {version.strip()}")
    if wrong:
        yield Finding("program", WARNING, "; ".join(wrong), "`make setup` installs the packages again")
    else:
        yield Finding("program", OK, f"Python {sys.version.split()[0]} and the packages are those it is tested with")
    with suppress(OSError):
        if server is not None:
            began = (home / "server.json").stat().st_mtime
            packages = ("lunaroute_site", "proxy", "sessions", "routing", "pii")
            if any(path.stat().st_mtime > began for package in packages for path in (root / package).rglob("*.py")):
                text = "the server runs an older version than the files have"
                yield Finding("program", WARNING, text, "`lunaroute-server stop`, then start it again")


def codex(path: Path, port: int) -> Iterator:
    """Check whether the configuration of Codex, where there is one, names this server."""
    from sessions.checking import OK, WARNING, Finding

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield Finding("codex", OK, f"has no {path}; the variables count")
        return
    except (OSError, ValueError) as error:
        yield Finding("codex", WARNING, f"{path} cannot be read ({error})", "docs/clients.md says what belongs there")
        return
    named = found.get("model_providers")
    tables = [found, *(t for t in (named.values() if isinstance(named, dict) else ()) if isinstance(t, dict))]
    addresses = [str(t[key]) for t in tables for key in ("openai_base_url", "base_url") if t.get(key)]
    if not addresses or any(_is_local(address, port) for address in addresses):
        yield Finding("codex", OK, f"{path} sends it to {addresses[0] if addresses else 'where the variables say'}")
    else:
        text = f"{path} names {addresses[0]}, which is not this server"
        yield Finding("codex", WARNING, text, "docs/clients.md says what belongs there")


def _is_local(address: str, port: int) -> bool:
    try:
        parts = urlsplit(address)
        return parts.port == port and parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False


def variables(config, environ, port: int = 0) -> Iterator:
    """Check whether clients that are started in this shell would use the server at `port`, else at the configured one."""
    from sessions.checking import OK, WARNING, Finding

    port = port or config.port
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
            expected = (
                "must end with /v1" if name.startswith("OPENAI") else "must have no path: the client adds /v1 itself"
            )
            yield Finding("variables", WARNING, f"{name} is {given}, which {expected}", f"export {name}={value}")
        else:
            yield Finding("variables", OK, f"{name} is {given}")
    proxied = any(environ.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"))
    direct = environ.get("NO_PROXY", environ.get("no_proxy", ""))
    if proxied and "localhost" not in direct and "127.0.0.1" not in direct and "*" not in direct:
        text = "HTTP_PROXY is set, and clients may ask it for this server"
        yield Finding("variables", WARNING, text, "export NO_PROXY=localhost,127.0.0.1")


def limits(pid: int | None = None) -> Iterator:
    """Check how many files and connections a process may have open: the server with that `pid`, else one that starts here."""
    from sessions.checking import OK, WARNING, Finding

    soft, hard = _limits_of(pid) or resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{_count(soft)} files and connections for each process"
    if pid is None:
        text += f", {_count(hard)} where it asks for more, as the server does when it starts"
    most = soft if pid is not None else hard
    if 0 <= most < OPEN_FILES:
        remedy = (
            f"a stream takes two: raise the hard limit to {OPEN_FILES} or more (LimitNOFILE= of the unit, limits.conf)"
        )
        yield Finding("limits", WARNING, text, remedy)
    else:
        yield Finding("limits", OK, text)


def _limits_of(pid: int | None) -> tuple[int, int] | None:
    with suppress(OSError, AttributeError):  # only Linux tells it of another process
        return resource.prlimit(pid, resource.RLIMIT_NOFILE) if pid is not None else None
    return None


def _count(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else f"{limit:,}"
