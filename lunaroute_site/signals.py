"""Signals that say nothing to any of LunaRoute's processes."""

import signal
from collections.abc import Iterable

# Each would end a process that does not say otherwise. (SIGQUIT, SIGABRT and their like are meant to.) Not every system has
# all of them.
STRAY = {
    getattr(signal, name)
    for name in ("SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT")
    if hasattr(signal, name)
} | (set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)) if hasattr(signal, "SIGRTMIN") else set())


def ignore(signals: Iterable[int]) -> None:
    """Let `signals` do nothing to this process and those that it forks."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
