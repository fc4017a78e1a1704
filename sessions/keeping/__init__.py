"""Keeps the store in bounds: old JSONL files are compressed, old sessions deleted, and what that frees is given back.

`plan` says what is due, `run` does it. A run may be killed at any moment and goes on with the next one.
"""

from sessions.keeping.planning import Due, Plan, Policy, plan
from sessions.keeping.running import AnotherRuns, run

__all__ = ["AnotherRuns", "Due", "Plan", "Policy", "plan", "run"]
