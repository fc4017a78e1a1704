"""What a process of the tree tells the supervisor when it ends: how much of what was answered is not on record, and why."""

import msgspec

# From a web process, as bytes that JSON never has: the recorder acknowledges nothing, and gives no reason; it acknowledges more.
REPLACE_RECORDER, PROGRESS = b"\1", b"\2"


class Missing(msgspec.Struct, frozen=True):
    """Exchanges that were answered and are not on record."""

    count: int = 0
    why: str = ""

    def packed(self) -> bytes:
        """Give it as bytes."""
        return msgspec.json.encode(self)


def missing(said: bytes) -> Missing | None:
    """Give what a process has told; None where it has ended without a word."""
    try:
        return msgspec.json.decode(said.lstrip(REPLACE_RECORDER + PROGRESS), type=Missing)
    except msgspec.DecodeError:
        return None


def verdict(webs: list[Missing], recorder: Missing) -> str:
    """Say in one line what is missing; empty where nothing is. What a web process still holds, the recorder may have had."""
    told = [one for one in (*webs, recorder) if one.count]
    if not told:
        return ""
    count = max(sum(one.count for one in webs), recorder.count)
    verb, noun = ("is", "exchange that was") if count == 1 else ("are", "exchanges that were")
    return f"{count} {noun} answered {verb} not on record: {told[0].why}"
