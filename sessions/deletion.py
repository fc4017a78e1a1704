"""Deletes sessions with all that only they used: rows, JSONL files, contents and their places in conversations."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from sessions import search
from sessions.content import AT_ONCE, keep_others_out
from sessions.models import Blob, Exchange, FileRemoval, JsonlFile, Node, Session, ToolCall

logger = logging.getLogger("lunaroute.deletion")

# Where contents are named: (model, columns).
CONTENTS = ((Exchange, ("system", "tools", "recipe", "response", "answer")), (ToolCall, ("arguments", "result")))


class StillRunning(Exception):
    """An exchange of the session has not ended."""


def delete_session(session_id: str) -> bool:
    """Delete a session. False if there is none; raises StillRunning while one of its exchanges runs."""
    found = list(Session.objects.filter(session_id=session_id).values_list("pk", flat=True))
    return bool(found) and delete(found) > 0


def delete(session_pks: Collection[int]) -> int:
    """Delete sessions in one transaction, their files after it. Gives how many there were.

    Raises StillRunning, and has then deleted nothing. Costs what the sessions hold, not what the database does.
    """
    with transaction.atomic():
        keep_others_out()
        locked = list(Session.objects.select_for_update().filter(pk__in=session_pks).values_list("pk", flat=True))
        if Exchange.objects.filter(session__in=locked, success=None).exists():
            raise StillRunning
        held = held_by(locked)
        files = JsonlFile.objects.filter(session__in=locked).values_list("recorder", "path")
        removals = [FileRemoval(recorder=recorder, path=path) for recorder, path in files]
        FileRemoval.objects.bulk_create(removals, ignore_conflicts=True)
        paths = [removal.path for removal in removals]
        search.remove(locked)
        Session.objects.filter(pk__in=locked).delete()
        release(held)
        transaction.on_commit(lambda: remove_files(paths))
    return len(locked)


@dataclass(frozen=True, slots=True)
class Held:
    """What sessions hold of what may be shared: keys of contents, and the places of their conversations, deepest first."""

    contents: set[bytes]
    places: dict[bytes, Node]


def held_by(session_pks: Collection[int]) -> Held:
    """Give what sessions hold."""
    return Held(_contents(session_pks), _places(session_pks))


def release(held: Held) -> None:
    """Delete what was `held`, as far as nobody needs it any more."""
    _delete_blobs(held.contents | _delete_nodes(held.places))


def _parts(keys: Iterable[Any]) -> Iterator[list[Any]]:
    listed = list(keys)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]


def _contents(session_pks: Collection[int]) -> set[bytes]:
    """Contents that rows of the sessions name."""
    found: set[bytes] = set()
    for model, columns in CONTENTS:
        for row in model.objects.filter(session__in=session_pks).values_list(*columns):
            found.update(bytes(key) for key in row if key)
    return found


def _places(session_pks: Collection[int]) -> dict[bytes, Node]:
    """Nodes of the sessions' conversations, the deepest first."""
    leaves = Exchange.objects.filter(session__in=session_pks).values_list("leaf", flat=True).distinct()
    wanted = {bytes(leaf) for leaf in leaves if leaf}
    found: dict[bytes, Node] = {}
    while wanted:
        parents = set()
        for part in _parts(wanted):
            for node in Node.objects.filter(key__in=part):
                found[bytes(node.key)] = node
                parents.add(bytes(node.parent))
        wanted = {key for key in parents if key and key not in found}
    return dict(sorted(found.items(), key=lambda item: -item[1].depth))


def _delete_nodes(nodes: dict[bytes, Node]) -> set[bytes]:
    """Delete those of `nodes` (the deepest first) that no conversation needs any more. Gives the blobs they named."""
    needed: set[bytes] = set()
    for part in _parts(nodes):
        needed.update(bytes(leaf) for leaf in Exchange.objects.filter(leaf__in=part).values_list("leaf", flat=True))
        for key, parent in Node.objects.filter(parent__in=part).values_list("key", "parent"):
            if bytes(key) not in nodes:
                needed.add(bytes(parent))
    for key, node in nodes.items():
        if key in needed:
            needed.add(bytes(node.parent))
    unneeded = [key for key in nodes if key not in needed]
    for part in _parts(unneeded):
        Node.objects.filter(key__in=part).delete()
    return {bytes(nodes[key].blob) for key in unneeded}


def _delete_blobs(keys: set[bytes]) -> None:
    """Delete those of `keys` that nothing names any more."""
    named: tuple[tuple[type[Model], str], ...] = (
        (Node, "blob"),
        *((model, column) for model, columns in CONTENTS for column in columns),
    )
    for part in _parts(keys):
        left = set(part)
        for model, column in named:
            used = model.objects.filter(**{f"{column}__in": left}).values_list(column, flat=True).distinct()
            left -= {bytes(key) for key in used}
        Blob.objects.filter(key__in=left).delete()


def remove_left_files(recorder: str) -> None:
    """Remove the files of deleted sessions that `recorder` still has: another host deleted them, or a process was killed."""
    remove_files(list(FileRemoval.objects.filter(recorder=recorder).values_list("path", flat=True)), recorder)


def remove_files(paths: Collection[str], recorder: str = "") -> None:
    """Remove files of deleted sessions. One that is not here is another host's to remove, unless `recorder` wrote it."""
    for part in _parts(paths):
        # In a transaction, so that no recorder begins the file anew at the same moment.
        with transaction.atomic():
            keep_others_out()
            # A new session of that name has it already, from its first line on.
            done = set(JsonlFile.objects.filter(path__in=part).values_list("path", flat=True))
            for path in part:
                found = [_unlink(name) for name in (path, f"{path}.zst")] if path not in done else []
                is_here = any(found) or connection.vendor == "sqlite" or bool(recorder)
                if is_here and None not in found:
                    done.add(path)
            removals = FileRemoval.objects.filter(path__in=done)
            (removals.filter(recorder=recorder) if recorder else removals).delete()
    for day in {Path(path).parent for path in paths}:
        with suppress(OSError):
            day.rmdir()  # it was the last of its day


def _unlink(name: str) -> bool | None:
    """Remove a file. True where it is gone now, False where it was not there, None where it stays."""
    try:
        os.unlink(name)
    except FileNotFoundError:
        return False  # recorded by another host, or compressed
    except OSError as error:
        logger.warning("%s: cannot be deleted (%s)", name, error.strerror)
        return None
    return True
