"""The command line: `lunaroute-server [--config F] [--host H] [--port P] [serve|env|stop|status|stats|…]`.

Any other command is Django's (`migrate`, `createsuperuser`, …).
"""

import argparse
import contextlib
import gc
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from lunaroute_site.config import ConfigError

# Commands that parse what stands behind them themselves, and where: (module of this package, function).
OWN_PARSERS = {
    "pii": ("pii_commands", "main"),
    "retention": ("retention_commands", "main"),
    "doctor": ("doctor_commands", "main"),
    "backup": ("backup_commands", "main"),
    "restore": ("backup_commands", "restore"),
    "db": ("db_commands", "main"),
    "users": ("user_commands", "main"),
}
COMMANDS = ("serve", "env", "stop", "status", "login", "stats", "reprice", "import", "migrate-store", *OWN_PARSERS)
# Commands with arguments of their own, and how many these may be at most.
ARGUMENTS = {"stats": 1, "reprice": 1, "import": 100_000, "migrate-store": 0}
# Seconds: for a detached server to answer, for one to stop when its streams have had their time: what the supervisor allows.
START_TIMEOUT, STOP_TIMEOUT = 20, 350


def main(arguments: list[str] | None = None) -> int:
    """Run a command; gives the exit code: 0 done, 1 it failed, 2 the call or the configuration is wrong."""
    os.umask(0o077)  # what commands write is the record, or is made of it
    # Loading makes objects that stay, hundreds of thousands: looking at them again and again takes a twentieth of the start.
    gc.set_threshold(50_000, 20, 100)
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments, behind = _split(arguments)
    options, rest = _parser().parse_known_args(arguments)
    with contextlib.suppress(ValueError):
        if options.command not in (None, *COMMANDS):
            return _django(arguments)
    rest += options.arguments[ARGUMENTS.get(options.command, 0) :]
    if rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    for variable, value in (
        ("LUNAROUTE_CONFIG", options.config and os.path.abspath(os.path.expanduser(options.config))),
        ("LUNAROUTE_HOST", options.host),
        ("LUNAROUTE_PORT", options.port),
        ("LUNAROUTE_WEB_PROCESSES", options.web),
    ):
        if value is not None:
            os.environ[variable] = str(value)
    try:
        command = options.command or "serve"
        if command in OWN_PARSERS:
            module, function = OWN_PARSERS[command]
            return getattr(import_module(f"lunaroute_site.{module}"), function)(behind)
        if command == "serve":
            return serve(options.no_worker)
        if command in ARGUMENTS:
            from lunaroute_site import record_commands

            run = {
                "stats": record_commands.stats,
                "reprice": record_commands.reprice,
                "import": record_commands.import_files,
                "migrate-store": record_commands.move,
            }
            return run[command](*options.arguments)
        if command == "status":
            return status(options.json)
        return {"env": env, "stop": stop, "login": login}[command]()
    except ConfigError as error:
        print(f"lunaroute-server: {error}", file=sys.stderr)
        return 2


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Give the arguments as far as a command with a parser of its own, and those behind it."""
    for at, argument in enumerate(arguments):
        if at and arguments[at - 1] in ("--config", "--host", "--port", "--web"):
            continue
        if argument in OWN_PARSERS:
            return arguments[: at + 1], arguments[at + 1 :]
        if not argument.startswith("-"):
            break
    return arguments, []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lunaroute-server",
        description="A local proxy for coding assistants: see, search, count and control all that passes.",
    )
    parser.add_argument(
        "--config", metavar="F", help="YAML file with the configuration (config.example.yaml has every key)"
    )
    parser.add_argument("--host", metavar="H", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", metavar="P", help="port to listen on (8081)")
    parser.add_argument("--web", metavar="N", help="serve: so many web processes (1)")
    parser.add_argument(
        "--no-worker", action="store_true", help="serve: leave Celery's worker to `celery -A lunaroute_site worker -B`"
    )
    parser.add_argument("--json", action="store_true", help="status: for programs")
    parser.add_argument(
        "command",
        nargs="?",
        help=f"serve (default), {', '.join(COMMANDS[1:])}, or one of Django's",
    )
    parser.add_argument("arguments", nargs="*", help="stats: a session's id; reprice: a model; import: files")
    return parser


def _django(arguments: list[str]) -> int:
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")
    try:
        execute_from_command_line(["lunaroute-server", *arguments])
    except ConfigError as error:
        print(f"lunaroute-server: {error}", file=sys.stderr)
        return 2
    return 0


def serve(no_worker: bool = False) -> int:
    """Run the server in the foreground until SIGTERM or Ctrl-C."""
    from lunaroute_site.supervisor import StartError
    from lunaroute_site.supervisor import serve as run

    try:
        return run(no_worker)
    except StartError as error:
        print(f"lunaroute-server: {error}", file=sys.stderr)
        return 1


def env() -> int:
    """Start the server detached unless it runs, and print what a shell needs to use it, for `eval $(…)`."""
    from lunaroute_site import config
    from lunaroute_site.pidfile import running_server

    settings = config.current()
    server = running_server(settings.home)
    if server is None:
        log = settings.home / "server.log"
        problem = _start_detached(settings.home, log, settings.tls)
        server = running_server(settings.home)
        if problem or server is None:
            print(f"lunaroute-server: {problem or f'the server did not start; see {log}'}", file=sys.stderr)
            return 1
        comment = f"# LunaRoute started (process {server.pid}, log {log}); stop it with: lunaroute-server stop"
    else:
        comment = f"# LunaRoute runs (process {server.pid}); stop it with: lunaroute-server stop"
    print(f"export ANTHROPIC_BASE_URL={shlex.quote(server.url)}")
    print(f"export OPENAI_BASE_URL={shlex.quote(server.url)}/v1")
    print(comment)
    return 0


def _start_detached(home: Path, log: Path, tls: Any) -> str | None:
    """Start `serve` in the background and wait until it answers. Gives the reason where it does not."""
    from lunaroute_site.pidfile import running_server

    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
    except OSError as error:
        return f"{log}: cannot be written ({error.strerror}); LUNAROUTE_HOME names the directory to use"
    root = Path(__file__).resolve().parent.parent
    search_path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lunaroute_site.cli", "serve"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, "PYTHONPATH": search_path},
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        server = running_server(home)
        if server is not None and _answers(server.url, tls):
            return None
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            return (
                lines[-1].removeprefix("lunaroute-server: ")
                if lines
                else f"the server ended with code {process.returncode}"
            )
        time.sleep(0.02)
    return f"the server did not answer within {START_TIMEOUT} s; see {log}"


def _answers(url: str, tls: Any) -> bool:
    import httpx

    from lunaroute_site.listening import trust

    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False, verify=trust(tls)).json() == {"status": "ok"}
    except (httpx.HTTPError, ValueError):
        return False


def stop() -> int:
    """Stop the server of this home: streams in flight get their time (`http_server.drain_secs`). 1 if it ends with a problem."""
    from lunaroute_site import config, states
    from lunaroute_site.pidfile import running_server

    settings = config.current()
    home = settings.home
    server = running_server(home)
    if server is None:
        print(f"LunaRoute is not running (home {home}).")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    seconds = settings.http_server.announce_stop_secs + settings.http_server.drain_secs + STOP_TIMEOUT
    deadline = time.monotonic() + seconds
    while running_server(home) is not None:
        if time.monotonic() > deadline:
            print(f"lunaroute-server: process {server.pid} did not end within {seconds:.0f} s", file=sys.stderr)
            return 1
        time.sleep(0.02)
    end = states.read(home, states.END)
    if end.get("pid") == server.pid and end.get("code") != 0:
        problem = end.get("problem") or "something went wrong, or it was killed; its log says more"
        print(f"lunaroute-server: process {server.pid} has stopped: {problem}", file=sys.stderr)
        return 1
    print(f"LunaRoute (process {server.pid}) has stopped.")
    return 0


def status(as_json: bool = False) -> int:
    """Say where the server of this home listens, what it records and how its processes are; 1 where none runs."""
    from lunaroute_site import config, status_report
    from lunaroute_site.pidfile import running_server

    settings = config.current()
    server = running_server(settings.home)
    if as_json:
        print(json.dumps(status_report.collect(settings, server), indent=2))
        return 0 if server else 1
    if server is None:
        print(f"LunaRoute is not running (home {settings.home}).")
        return 1
    health = "" if _answers(server.url, settings.tls) else ", but does not answer"
    print(f"LunaRoute runs (process {server.pid}) on {server.url}{health}.")
    print(f"Recording: {server.recording}")
    print(f"Home: {settings.home}")
    for line in status_report.lines(status_report.collect(settings, server)):
        print(line)
    return 0


def login() -> int:
    """Print a link that opens the admin of the running server: once, within a minute, on this machine."""
    from lunaroute_site import config
    from lunaroute_site.pidfile import running_server

    home = config.current().home
    server = running_server(home)
    if server is None:
        print(
            f"lunaroute-server: LunaRoute is not running (home {home}); `lunaroute-server` starts it", file=sys.stderr
        )
        return 1
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")
    import django

    django.setup()
    from lunaroute_site.owner import make_link

    try:
        print(make_link(home, server.url))
    except OSError as error:
        print(f"lunaroute-server: {home}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
