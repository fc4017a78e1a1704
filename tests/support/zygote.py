"""Starts servers quickly: a process that has imported what all of them need, and forks.

Python takes more than a second of processor time to load the libraries and this tree's own modules, and the suite starts
hundreds of servers. What is forked then runs `manage.py` as a fresh interpreter would: with its own environment, settings,
working directory, session and output. Nothing that depends on a configuration is loaded before the fork: a module that asks
for such a setting while it is imported stops the process that forks, and belongs in OWN_TO_EACH.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "django.db.models django.contrib.admin.options django.core.management django.template.defaulttags django.test.signals "
    "django.core.handlers.asgi django.core.cache django.contrib.staticfiles.finders django.db.migrations.executor "
    "django.db.backends.sqlite3.base django.contrib.auth.views django.contrib.sessions.backends.db "
    "django.contrib.messages.storage.fallback ninja ninja.openapi channels.layers celery.app.base kombu.transport.filesystem "
    "pydantic orjson msgspec yaml httpx zstandard brotli cryptography.fernet cryptography.hazmat.primitives.kdf.hkdf "
    "phonenumbers genai_prices psycopg dj_database_url whitenoise.middleware markdown_it pygments.lexers tzlocal websockets.server "
    "re2 authlib.integrations.django_client requests prometheus_client django_prometheus.exports django_htmx httptools uvloop "
    "daphne.ws_protocol daphne.http_protocol twisted.web.http twisted.internet.asyncioreactor twisted.internet.endpoints "
    "channels.routing channels.generic.websocket channels.security.websocket"
).split()
# What servers and commands import of this tree.
MODULES = (
    "sessions.urls sessions.recorder sessions.live sessions.live_hub sessions.summary sessions.metrics sessions.tally "
    "sessions.budgets.keeper sessions.keeping.planning proxy.urls proxy.protocol proxy.link proxy.meter routing.metrics "
    "routing.shared team.limits team.pages lunaroute_site.supervisor lunaroute_site.serving lunaroute_site.metrics "
    "lunaroute_site.middleware lunaroute_site.forwarded lunaroute_site.health lunaroute_site.owner lunaroute_site.errors "
    "lunaroute_site.peers lunaroute_site.upkeep.upgrade"
).split()
# Modules that read the configuration as they are imported, and Twisted's choice of a loop.
OWN_TO_EACH = {
    "lunaroute_site.settings", "lunaroute_site.urls", "lunaroute_site.celery", "lunaroute_site.asgi", "twisted.internet.reactor",
}  # fmt: skip
# Settings that differ from server to server.
CONFIGURED = {
    "LUNAROUTE", "HOME", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASES", "CHANNEL_LAYERS", "TIME_ZONE", "LOGGING",
}  # fmt: skip
# In place of a program: the first argument is Python's code.
CODE = "-c"
_lock = threading.Lock()
_process: subprocess.Popen | None = None


class Forked:
    """A server that was forked, as `subprocess.Popen` would have it."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout if timeout is not None else None
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("manage.py", timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def launch(arguments: list[str], environ: Mapping[str, str], log: Path) -> Forked:
    """Run `manage.py` with these arguments and this environment; what it prints goes to `log`."""
    return _launch("manage.py", arguments, environ, log, log)


def launch_code(code: str, arguments: list[str], environ: Mapping[str, str], log: Path) -> Forked:
    """The same with Python's code in place of `manage.py`."""
    return _launch(CODE, [code, *arguments], environ, log, log)


def run(
    program: str, arguments: list[str], environ: Mapping[str, str], seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a module, a file of this tree or CODE to its end, as `subprocess.run` would. Raises subprocess.TimeoutExpired."""
    with TemporaryDirectory(prefix="lunaroute-run-") as folder:
        output, errors = Path(folder, "out"), Path(folder, "err")
        process = _launch(program, arguments, environ, output, errors)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            [program, *arguments], code, output.read_text(errors="replace"), errors.read_text(errors="replace")
        )


def _launch(program: str, arguments: list[str], environ: Mapping[str, str], output: Path, errors: Path) -> Forked:
    question = {
        "program": program,
        "arguments": arguments,
        "environ": dict(environ),
        "logs": [str(output), str(errors)],
    }
    return Forked(_ask(question)["pid"])


def _ask(question: dict) -> dict:
    global _process
    with _lock:
        if _process is None:
            command = [sys.executable, "-m", "tests.support.zygote"]
            # Without settings: each server has its own.
            environ = {k: v for k, v in os.environ.items() if not k.startswith(("LUNAROUTE_", "DJANGO_"))}
            _process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            atexit.register(_process.kill)
        _process.stdin.write(json.dumps(question) + "\n")
        _process.stdin.flush()
        return json.loads(_process.stdout.readline())


def _import_all() -> None:
    """Import libraries and modules, under settings that have no value where configurations differ."""
    import django
    from django.conf import empty, settings
    from django.db import connections

    with TemporaryDirectory(prefix="lunaroute-zygote-") as home:
        os.environ["LUNAROUTE_HOME"] = home
        values = runpy.run_module("lunaroute_site.settings")
    same = {name: value for name, value in values.items() if name.isupper() and name not in CONFIGURED}
    settings.configure(**same, LOGGING_CONFIG=None)
    django.setup()
    for name in (*LIBRARIES, *MODULES):
        import_module(name)
    assert not OWN_TO_EACH & set(sys.modules), OWN_TO_EACH & set(sys.modules)
    # A password is hashed a million times over, which takes a third of a second, and again at each sign-in.
    sys.modules["django.contrib.auth.hashers"].PBKDF2PasswordHasher.iterations = 1000
    # As if nobody had asked for settings, nor for the database.
    settings._wrapped = empty
    sys.modules["lunaroute_site.config"].current.cache_clear()
    connections.__dict__.clear()
    connections.__init__()


def _serve() -> None:
    _import_all()
    gc.freeze()  # children look for garbage among their own objects only
    for line in iter(sys.stdin.readline, ""):
        question = json.loads(line)
        if "poll" in question:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if not pid:
                _run(question)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _run(question: dict) -> None:
    os.setsid()
    output, errors = (os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) for log in question["logs"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in ((0, nothing), (1, output), (2, errors)):
        os.dup2(descriptor, number)
    os.closerange(3, 64)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(question["environ"])
    time.tzset()
    program, arguments = question["program"], question["arguments"]
    sys.argv = [program, *(arguments[1:] if program == CODE else arguments)]
    code = 1
    try:
        if program == CODE:
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        elif program.endswith(".py"):
            runpy.run_path(str(ROOT / program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
