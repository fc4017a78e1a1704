"""The process tree of `lunaroute-server`: one process that starts the others and keeps them running.

It loads Django once and forks, so that the children share the memory of what they all need: the web processes (Daphne
and the data plane), the recorder, and the Celery worker. It holds no threads and no event loop, so it can fork again at
any time. Each child has a socket to it: by its end a child learns that the supervisor is gone, and over it the web
processes get the ends of their lines to the recorder and to each other.
"""

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from lunaroute_site import logs, pidfile, states
from lunaroute_site.closing import say_statistics
from lunaroute_site.listening import ListenError, listen, url
from lunaroute_site.signals import STRAY, ignore
from proxy import last_words

logger = logging.getLogger("lunaroute.server")

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGALRM}
# Seconds: for the web processes to see all that has drained on record, also by a second recorder, and for the recorder to end.
WEB_STOP, RECORDER_STOP = 30, 10
# Seconds that a web process may take longer as long as it says that ever more is on record.
BACKLOG_STOP = 300
# A child that dies this often within a minute is given up, and the server with it.
MAX_DEATHS = 20
# Seconds between two tries to start it again, at most; without it, nobody misses the worker for a while.
PAUSE, WORKER_PAUSE = 5, 60
# Seconds without a sign of life after which the worker hangs, longer than its tasks may take, and between two looks.
SILENCE, LOOK = 4500, 60
# Seconds that what a process has logged may take to be written when it ends.
LAST_WORDS = 0.5
# Descriptors of one process: what Linux allows one to have (fs.nr_open). A container's limit may be a billion, and some
# libraries go through all that there could be when they close what a child is not to have; of a million that takes 0.1 s.
MAX_DESCRIPTORS = 1 << 20
# mallopt(3): the most heaps.
M_ARENA_MAX = -8
# prctl(2): whether a core may be written of this process.
PR_SET_DUMPABLE = 4


class StartError(Exception):
    """Why the server cannot start, in one line."""


@dataclass
class Child:
    """A process of the tree: what it runs, and its end of the supervisor's socket."""

    name: str
    run: Callable[["Child", socket.socket], int | None]  # gives the exit code
    essential: bool = True
    pid: int = 0
    control: socket.socket | None = None
    deaths: list[float] = field(default_factory=list)
    since: float = 0.0  # seconds since the epoch
    restarts: int = 0
    last_end: str = ""  # how the one before it ended
    heard_at: float = 0.0  # of a sign of life
    progress_at: float = 0.0  # at the end: more was on record
    why: str = ""  # it was killed by this process
    said: bytes = b""  # over its socket
    listeners: list[socket.socket] = field(default_factory=list)  # of a web process


def serve(no_worker: bool = False) -> int:
    """Run the server until SIGTERM or SIGINT. Give the exit code; raises StartError where it cannot start."""
    os.umask(0o077)
    ignore(STRAY)
    from lunaroute_site import config

    settings = config.current()
    _check_reach(settings)
    _check_certificate(settings.tls)
    lock = _take_home(settings)
    try:
        listeners = listen(settings.host, settings.port, settings.http_server.web_processes)
    except ListenError as error:
        raise StartError(str(error)) from None
    _allow_descriptors()
    _share_heaps()
    if settings.session_recording.pii.enabled:
        _leave_no_core()
        logs.log_uncaught()
    _load(settings)
    logs.write_to(logs.AtOnce(2))
    port = listeners[0][0].getsockname()[1]
    recording = settings.session_recording.enabled
    server = pidfile.RunningServer(
        os.getpid(),
        url(settings.host, port, "https" if settings.tls else "http"),
        str(settings.session_recording.sessions_dir) if recording else "off",
    )
    tree = Tree(settings, listeners, no_worker)
    since = datetime.now(UTC)
    try:
        try:
            pidfile.announce(lock, settings.home, server)
            states.write(settings.home, states.END, {"pid": server.pid, "code": None})
        except OSError as error:
            raise StartError(_unwritable(settings.home, error)) from None
        code = tree.run(server)
        states.write(settings.home, states.END, {"pid": server.pid, "code": code, "problem": tree.problem})
        if recording:
            say_statistics(settings, settings.identity, since)
        return code
    finally:
        states.forget(settings.home)
        pidfile.release(lock, settings.home)


def _take_home(settings):
    try:
        return pidfile.take(settings.home)
    except OSError as error:
        raise StartError(_unwritable(settings.home, error)) from None
    except pidfile.HomeLocked as other:
        raise StartError(
            f"{settings.home}: another LunaRoute (process {other}) runs on this home; "
            "stop it with `lunaroute-server stop`, or set LUNAROUTE_HOME to another directory"
        ) from None


def _unwritable(home: Path, error: OSError) -> str:
    return f"{home}: cannot be written ({error.strerror}); LUNAROUTE_HOME names the directory to use"


def _check_reach(settings) -> None:
    if not settings.is_local and settings.auth_token is None and not settings.team.enabled:
        raise StartError(
            f"host {settings.host}: others can reach this address, and read what was recorded; set LUNAROUTE_AUTH_TOKEN "
            "to a token that they have to know (`openssl rand -hex 32` gives one), or team.enabled for users with tokens of their "
            "own, or listen on 127.0.0.1"
        )


def _check_certificate(tls) -> None:
    if tls is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"tls: {tls.certificate} and {tls.key} cannot be used: {error}") from None


def _allow_descriptors() -> None:
    """Let each process have as many descriptors as it may: a stream takes two, and a shell's usual limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (MAX_DESCRIPTORS, 65_536, 10_240):  # macOS has fewer than its limit says, and refuses more
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(hard, wanted), hard))
            return


def _share_heaps() -> None:
    """Let threads share two heaps of the C library, where there could be eight for each core: each request for a page has a
    thread of its own, and what one has freed in its heap would be of no use to the next."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _leave_no_core() -> None:
    """Let no crash of this process and its children write their memory to a file, nor another program's reader do so."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # where a core goes to a program, the limit does not count
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _load(settings) -> None:
    """Load Django and what the children share, and bring the database up to date."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lunaroute_site.settings")
    import django

    django.setup()
    from django.db import DatabaseError, connection, connections
    from django.urls import get_resolver

    from lunaroute_site.upkeep import upgrade

    try:
        upgrade.bring_up_to_date()
        if connection.vendor == "sqlite":
            for path in settings.home.glob("db.sqlite3*"):
                path.chmod(0o600)
    except upgrade.UpgradeProblem as error:
        raise StartError(str(error)) from None
    except DatabaseError as error:
        raise StartError(f"database: {str(error).strip().splitlines()[0]} ({_database_name(connection)})") from None
    except OSError as error:
        raise StartError(_unwritable(settings.home, error)) from None
    finally:
        connections.close_all()
    # Both URLconfs with all they import: no request pays for that, and the children share it.
    get_resolver().url_patterns  # noqa: B018
    get_resolver("proxy.urls").url_patterns  # noqa: B018
    import_module("sessions.recorder")


def _database_name(connection) -> str:
    settings = connection.settings_dict
    return (
        str(settings["NAME"])
        if connection.vendor == "sqlite"
        else f"{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    )


class Tree:
    """The running children."""

    def __init__(self, settings, listeners: list[list[socket.socket]], no_worker: bool) -> None:
        """`listeners` has the sockets of each web process."""
        self.settings = settings
        self.has_recorder = settings.session_recording.is_read
        names = ["web"] if len(listeners) == 1 else [f"web-{number}" for number in range(1, len(listeners) + 1)]
        self.webs = [Child(name, self._run_web, listeners=own) for name, own in zip(names, listeners, strict=True)]
        self.recorder = Child("recorder", self._run_recorder)
        self.worker = Child("worker", self._run_worker, essential=False)
        # The recorder first: it is ready when the web processes begin to answer.
        self.children = [self.recorder] if self.has_recorder else []
        self.children += self.webs
        if not no_worker:
            self.children.append(self.worker)
        self._restart_at: dict[str, float] = {}
        self._heeded = SIGNALS
        self._has_replaced = False  # a recorder that hung at the end
        self.problem = ""  # what is not on record at the end

    def run(self, server: pidfile.RunningServer) -> int:
        """Start the children, restart those that die, and stop them in order at SIGTERM or SIGINT."""
        if (
            signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        ):  # nohup(1): what is blocked would be waited for all the same
            self._heeded = SIGNALS - {signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._heeded)
        gc.collect()
        gc.freeze()  # what is loaded now is never looked at again by the collector, so its pages stay shared
        for child in self.children:
            self._start(child)
        for web in self.webs:
            self._connect(web)
        self._introduce(self.webs)
        self._announce(server)
        while True:
            caught = self._wait()
            if caught in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                return self._stop()
            self._listen_to_worker()
            if not self._reap():
                self._stop()
                return 1

    def _wait(self) -> int:
        """Wait for a signal, which SIGALRM makes one of when there is something else to do."""
        pauses = [at - time.monotonic() for at in self._restart_at.values()]
        if self.worker in self.children:
            pauses.append(LOOK)
        if pauses:
            signal.setitimer(signal.ITIMER_REAL, max(min(pauses), 0.001))
        return signal.sigwait(self._heeded)

    def _announce(self, server: pidfile.RunningServer) -> None:
        print(
            f"LunaRoute listens on {server.url}  (browser: {server.url}/ui/, recording: {server.recording})\n"
            f"  export ANTHROPIC_BASE_URL={server.url}\n"
            f"  export OPENAI_BASE_URL={server.url}/v1",
            flush=True,
        )
        with suppress(OSError):  # a home that cannot be written is complained about elsewhere
            from lunaroute_site.owner import make_link

            link = make_link(self.settings.home, server.url)
            print(f"  admin: {link}  (once, within a minute; `lunaroute-server login` gives another)", flush=True)
        for note in self.settings.notes():
            print(note, flush=True)

    def _tell(self) -> None:
        """Write down how the children are."""
        told = {
            child.name: {"pid": child.pid, "since": child.since, "restarts": child.restarts, "last_end": child.last_end}
            for child in self.children
        }
        states.write(self.settings.home, states.PROCESSES, told)

    # -- children --------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            theirs.close()
            child.pid, child.control, child.since, child.heard_at = pid, ours, time.time(), time.monotonic()
            child.said = b""
            self._tell()
            return
        code, log = 1, logs.Queued(2)
        logs.write_to(log)
        try:
            ours.close()
            for other in self.children:
                if other.control is not None:
                    other.control.close()
            for listener in self._all_listeners():
                if listener not in child.listeners:
                    listener.close()
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            ignore({signal.SIGHUP, signal.SIGALRM})  # a terminal's end reaches the whole group; the supervisor decides
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            code = child.run(child, theirs) or 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            logger.exception("the %s process failed", child.name)
        finally:
            logging.shutdown()
            log.close(LAST_WORDS)
            os._exit(code)

    def _all_listeners(self) -> list[socket.socket]:
        return [listener for web in self.webs for listener in web.listeners]

    def _connect(self, web: Child) -> None:
        """Give a web process and the recorder the two ends of a new line."""
        if self.has_recorder:
            self._join(self.recorder, web, "L")

    def _complete_lines(self) -> None:
        """Tell a recorder that it has the lines of all web processes that may hold something from before."""
        with suppress(OSError):
            self.recorder.control.send(b"A")

    def _introduce(self, webs: list[Child]) -> None:
        """Give each of `webs` a line to every other web process; a process that has died takes its ends along."""
        known = [web for web in self.webs if web not in webs]
        for web in webs:
            for other in known:
                self._join(web, other, "P")
            known.append(web)

    @staticmethod
    def _join(one: Child, other: Child, what: str) -> None:
        """Send the ends of a new line to two children, with a letter that says what it is for."""
        if one.control is None or other.control is None:
            return  # it gets one when it is there again
        ends = socket.socketpair()
        for child, end in zip((one, other), ends, strict=True):
            with suppress(OSError):
                socket.send_fds(child.control, [what.encode()], [end.fileno()])
            end.close()

    def _listen_to_worker(self) -> None:
        """Kill a worker that has given no sign of life for long."""
        worker, now = self.worker, time.monotonic()
        if not worker.pid or worker.control is None:
            return
        with suppress(OSError):
            if worker.control.recv(4096, socket.MSG_DONTWAIT):
                worker.heard_at = now
        if now - worker.heard_at > SILENCE:
            worker.why = f"no sign of life for {SILENCE} s"
            os.kill(worker.pid, signal.SIGKILL)  # not reaped yet, so it is the same process

    def _reap(self) -> bool:
        """Start again who died. False where that no longer helps."""
        now = time.monotonic()
        for child in self.children:
            pid, status = os.waitpid(child.pid, os.WNOHANG) if child.pid else (0, 0)
            if pid and not self._note_end(child, child.why or _end_of(status), now):
                return False
        for child in self.children:
            if self._restart_at.get(child.name, now + 1) <= now:
                self._start_again(child)
        self._tell()
        return True

    def _start_again(self, child: Child) -> None:
        del self._restart_at[child.name]
        self._start(child)
        for web in self.webs if child is self.recorder else [child] if child in self.webs else ():
            self._connect(web)
        if child is self.recorder:
            self._complete_lines()
        self._introduce([child] if child in self.webs else [])

    def _note_end(self, child: Child, how: str, now: float) -> bool:
        """Plan when to start it again. False where it is needed and does not stay up."""
        child.pid, child.why, child.restarts, child.last_end = 0, "", child.restarts + 1, how
        child.control.close()
        child.control = None
        longest = PAUSE if child.essential else WORKER_PAUSE
        child.deaths = [at for at in child.deaths if now - at < 55 + longest] + [now]
        if child.essential and len(child.deaths) > MAX_DEATHS:
            logger.error("the %s process does not stay up (%s): giving up", child.name, how)
            return False
        pause = 0.0 if len(child.deaths) == 1 else min(0.1 * 2 ** len(child.deaths), longest)
        logger.warning("the %s process ended unexpectedly (%s): starting it again", child.name, how)
        self._restart_at[child.name] = now + pause
        return True

    def _stop(self) -> int:
        """Web first, so that nothing new comes; then the recorder, when it has stored what there is."""
        http = self.settings.http_server
        for child in (self.worker, *self.webs):
            if child.pid:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
        # The web processes close their own at their time: then nobody listens.
        for listener in self._all_listeners():
            listener.close()
        if self.has_recorder and not self.recorder.pid:
            self._restart_at[self.recorder.name] = 0.0  # once more, for what the web processes hold
        deadline = time.monotonic() + http.announce_stop_secs + http.drain_secs + WEB_STOP
        clean = self._await_end(self.webs, deadline, meanwhile=self._mind_stop)
        if self.recorder.control is not None:
            self.recorder.control.shutdown(socket.SHUT_WR)
        clean &= self._await_end([self.recorder], time.monotonic() + RECORDER_STOP)
        self._await_end([self.worker], time.monotonic() + 5)
        webs = [last_words.missing(web.said) or last_words.Missing() for web in self.webs]
        recorder = last_words.missing(self.recorder.said) or last_words.Missing()
        if self.settings.session_recording.enabled and (problem := last_words.verdict(webs, recorder)):
            self.problem = problem
            logger.error("%s", problem)
            clean = False
        return 0 if clean else 1

    def _mind_stop(self) -> None:
        """While the web processes end: pass a second signal on to them, and keep a recorder there for what they hold."""
        if signal.sigpending() & {signal.SIGTERM, signal.SIGINT}:
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
            for web in self.webs:
                if web.pid:
                    os.kill(web.pid, signal.SIGTERM)
        recorder, now = self.recorder, time.monotonic()
        if (
            recorder.pid
            and not self._has_replaced
            and any(last_words.REPLACE_RECORDER in web.said for web in self.webs)
        ):
            recorder.why, self._has_replaced = "it acknowledged nothing", True
            os.kill(recorder.pid, signal.SIGKILL)
        pid, status = os.waitpid(recorder.pid, os.WNOHANG) if recorder.pid else (0, 0)
        if pid:
            self._note_end(recorder, recorder.why or _end_of(status), now)
        if self._restart_at.get(recorder.name, now + 1) <= now:
            self._start_again(recorder)

    def _await_end(self, children: list[Child], deadline: float, meanwhile: Callable[[], None] | None = None) -> bool:
        """Wait for `children`, and kill those that are there at `deadline` and make no progress. Tells whether all ended well."""
        clean, began = True, time.monotonic()
        while alive := [child for child in children if child.pid]:
            for child in alive:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                self._hear(child)
                if pid:
                    child.pid = 0
                    if status and child is not self.worker and last_words.missing(child.said) is None:
                        logger.error("the %s process ended with %s", child.name, _end_of(status))
                    clean &= not status
                elif time.monotonic() > max(deadline, min(child.progress_at + WEB_STOP, deadline + BACKLOG_STOP)):
                    logger.error(
                        "the %s process did not end within %d s: killing it", child.name, time.monotonic() - began
                    )
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    child.pid, clean = 0, False
            if meanwhile is not None:
                meanwhile()
            time.sleep(0.01)
        return clean

    @staticmethod
    def _hear(child: Child) -> None:
        """Take what a process has told."""
        with suppress(OSError):
            while child.control is not None and (data := child.control.recv(4096, socket.MSG_DONTWAIT)):
                child.said += data
                if last_words.PROGRESS in data:
                    child.progress_at = time.monotonic()

    def _run_web(self, child: Child, control: socket.socket) -> None:
        from lunaroute_site.web import run

        number = self.webs.index(child) + 1 if len(self.webs) > 1 else 0
        run(self.settings, child.listeners, control, self.has_recorder, number)

    def _run_recorder(self, child: Child, control: socket.socket) -> int:
        from sessions.recorder import run

        code = run(control, first=not child.deaths)
        if not self.settings.session_recording.enabled:
            # Nobody else can: they are in this process's memory.
            say_statistics(self.settings, self.settings.identity, datetime.fromtimestamp(0, UTC))
        return code

    def _run_worker(self, child: Child, control: socket.socket) -> None:
        from lunaroute_site.celery import run_worker

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        threading.Thread(target=_end_with, args=(control,), daemon=True).start()
        os.nice(10)
        run_worker(control)


def _end_of(status: int) -> str:
    """Say how a process ended, by what waitpid(2) gives."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _end_with(control: socket.socket) -> None:
    """End this process when the supervisor has gone."""
    with suppress(OSError):
        control.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)
