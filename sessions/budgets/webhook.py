"""Tells somebody else's server of a notice, in the background. Nothing of a provider or client goes there.

The address is asked for once and the connection goes to that very address, so that a name cannot mean one machine when it
is looked at and another when it is used. Redirects are not followed, no proxy and no .netrc is used.
"""

import ipaddress
import logging
import socket
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from time import sleep
from typing import Any

import httpx
from django.conf import settings

from routing.destinations import OWN, Destinations, Network
from sessions.budgets.definitions import problem_of_address, problem_of_webhook
from sessions.budgets.notices import Told

logger = logging.getLogger("lunaroute.budgets")

TIMEOUT = 5.0  # seconds
PAUSES = (1.0, 4.0)  # seconds before the second and the third try


class Refused(Exception):
    """Nothing may be sent there."""


def tell(told: Told) -> None:
    """Send a notice to its budget's webhook. Returns at once."""
    threading.Thread(target=deliver, args=(told,), name="budget-webhook", daemon=True).start()


def payload(told: Told, now: datetime) -> dict[str, Any]:
    """Give what is sent."""
    budget, total = told.budget, told.total
    return {
        "budget": budget.name,
        "scope": budget.scope,
        "value": budget.value,
        "period": budget.period,
        "period_start": total.period.start.isoformat(),
        "period_end": total.period.end.isoformat(),
        "spent_usd": round(total.spent_usd, 6),
        "limit_usd": budget.limit_usd,
        "threshold": told.threshold,
        "time": now.isoformat(),
    }


def deliver(told: Told, pauses: tuple[float, ...] = PAUSES) -> bool:
    """Send it, again after each of `pauses` seconds while that fails. Whether it was taken; failing is logged."""
    host = httpx.URL(told.budget.webhook_url).host
    sent, reason = payload(told, datetime.now(UTC)), ""
    for pause in (0.0, *pauses):
        sleep(pause)
        try:
            status = post(told.budget.webhook_url, sent)
        except Refused as error:
            reason = str(error)
            break
        except (httpx.HTTPError, OSError, ValueError) as error:
            reason = type(error).__name__
            continue
        if 200 <= status < 300:
            return True
        reason = f"it answered {status}"
    # Addresses of webhooks hold secrets: only the host is named.
    logger.warning("the webhook of budget %s at %s was not told: %s", told.budget.name, host, reason)
    return False


def post(url: str, value: dict[str, Any]) -> int:
    """POST `value` as JSON; gives the status. Raises Refused, httpx.HTTPError or OSError."""
    allowed = settings.LUNAROUTE.allowed_addresses
    if problem := problem_of_webhook(url, allowed):
        raise Refused(problem)
    parsed = httpx.URL(url)
    address = _address_of(parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80), allowed)
    headers = {"host": parsed.netloc.decode("ascii"), "user-agent": "lunaroute"}
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=TIMEOUT) as client:
        request = client.build_request(
            "POST",
            parsed.copy_with(host=address),
            json=value,
            headers=headers,
            extensions={"sni_hostname": parsed.host},
        )
        response = client.send(request, stream=True)  # nobody reads what it says
        response.close()
        return response.status_code


def _address_of(host: str, port: int, allowed: Iterable[Network]) -> str:
    found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    own = settings.LUNAROUTE
    for address in found:
        if port == own.port and Destinations(
            own=frozenset({("::" if ":" in str(address) else "0.0.0.0", port)})
        ).problem(str(address), port):
            raise Refused(f"expected an address that notices may go to; {OWN}")
        if problem := problem_of_address(ipaddress.ip_address(str(address).partition("%")[0]), host, allowed):
            raise Refused(problem)
    return str(found[0])
