"""What this process routes by, for pages and API; nothing in a process that serves no requests."""

from dataclasses import dataclass

from routing.board import Board
from routing.router import Router
from routing.rules import RuleSet
from routing.sources import Definitions, from_configuration, load


@dataclass(frozen=True, slots=True)
class Live:
    """Board, router and definitions of one moment."""

    board: Board
    router: Router
    definitions: Definitions


# Set by `serve`.
current: Live | None = None


def serve(board: Board, router: Router, definitions: Definitions) -> None:
    """Show this from now on. Providers that were reset since the last time, here or elsewhere, are so on `board`."""
    global current
    before, current = current, Live(board, router, definitions)
    if before is not None:
        for name, number in definitions.resets.items():
            if number > before.definitions.resets.get(name, 0):
                board.reset(name)


def shown() -> Live:
    """Give what this process's next request is routed by; where it serves nothing, what one that began now would be."""
    served = current
    definitions = load(*from_configuration(), before=served.definitions if served else None)
    if served is not None and definitions == served.definitions:
        return served
    board = served.board if served else Board()
    return Live(board, Router(RuleSet(definitions.rules), definitions.providers, board), definitions)
