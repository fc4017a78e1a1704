"""Misbehaviour by name: scripts for a :class:`tests.support.upstream.FakeUpstream`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.upstream import Exchange


async def hang(exchange: "Exchange") -> None:
    """Read the request, and never answer."""
    await exchange.read_body()
    await exchange.until_gone()


async def stall(exchange: "Exchange") -> None:
    """Begin a stream, and never go on with it."""
    await exchange.read_body()
    await exchange.start_stream()
    await exchange.chunk(b"data: first\n\n")
    await exchange.until_gone()


async def reset(exchange: "Exchange") -> None:
    """Read the request, and cut the connection with a RST."""
    await exchange.read_body()
    exchange.reset()


async def close(exchange: "Exchange") -> None:
    """Read the request, and close the connection."""
    await exchange.read_body()
    exchange.keep = False


async def echo(exchange: "Exchange") -> None:
    """Answer with the request's body."""
    await exchange.read_body()
    await exchange.answer(200, exchange.request.body)


BEHAVIOURS = {script.__name__: script for script in (hang, stall, reset, close, echo)}
