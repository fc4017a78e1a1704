"""What this process counts for `/metrics` of what its recorder tells. Nothing here asks the database."""

from prometheus_client import Counter

from pii.policy import RESERVED, Policy
from sessions.news import Change

_redactions = Counter(
    "lunaroute_pii_redactions", "Values that redaction replaced in what is recorded, by type", ["type"]
)


def expect(policy: Policy) -> None:
    """Let the types that `policy` finds be there from the beginning: a rate needs the 0 before the first value."""
    for kind in (*RESERVED, *(pattern.name for pattern in policy.custom_patterns)):
        _redactions.labels(kind)


def count(change: Change) -> None:
    """Count what has changed in the record (a listener of sessions.live_hub). Types are those of the policy, so few."""
    for kind, number in change.redactions.items():
        _redactions.labels(kind).inc(number)
