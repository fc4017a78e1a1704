"""Exchanges on which routing acted."""

from hypothesis import strategies as st

from proxy.capture import Attempt, Routing

RATE_LIMITED = Attempt("anthropic", 429, 120.0, "rate_limited")
# What a rule's fallback in the other dialect leaves.
FAILED_OVER = Routing(
    rule="claude-with-fallback",
    why="rule claude-with-fallback",
    provider="backup",
    provider_type="openai",
    model="gpt-5",
    dialect="openai-responses",
    attempts=[RATE_LIMITED, Attempt("backup", 200, 45.0)],
    notes=["cache_control left out of system[0]", "top_k left out"],
)

_words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_attempts = st.builds(
    Attempt, provider=st.sampled_from(["anthropic", "backup"]), status=st.none() | st.integers(200, 599),
    duration_ms=st.floats(0, 1e6), reason=_words, may_be_charged=st.booleans(),
)  # fmt: skip
routings = st.builds(
    Routing, rule=_words, why=_words, provider=st.sampled_from(["anthropic", "backup", "third"]),
    provider_type=st.sampled_from(["anthropic", "openai"]), model=_words, dialect=st.sampled_from(["", "openai-chat"]),
    attempts=st.lists(_attempts, max_size=3), notes=st.lists(_words, max_size=3),
)  # fmt: skip
