"""What a model takes, by its name: efforts, budgets to think with, sampling, structured output.

https://platform.claude.com/docs/en/build-with-claude/thinking, https://platform.claude.com/docs/en/build-with-claude/effort,
https://platform.openai.com/docs/guides/reasoning. A name of neither vendor is asked for what most servers take.
"""

import re

# How hard a model thinks, from the least to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_RANKS = {effort: rank for rank, effort in enumerate(EFFORTS)}
_COMMON = ("low", "medium", "high")

_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?![\d.])")
_OPENAIS = re.compile(r"(?:ft:)?(?:gpt-\d|chatgpt-|o[134](?:-|\Z)|codex-)")
_O_SERIES = re.compile(r"(?:o[134](?:-|\Z)|codex-mini)")
_CLAUDE = re.compile(r"claude-(?:([a-z]+)-)?(\d)(?:[-.](\d{1,2}))?(?!\d)")


def nearest(effort: str, allowed: tuple[str, ...]) -> str:
    """Give `effort` where it is allowed, else the next above, else the most there is; "" for an unknown one."""
    rank = _RANKS.get(effort)
    if rank is None or not allowed:
        return ""
    return next((one for one in allowed if _RANKS[one] >= rank), allowed[-1])


# -- OpenAI ----------------------------------------------------------------------------------------------------


def _plain(model: str) -> str:
    return model.rpartition("/")[2]


def is_openais(model: str) -> bool:
    """Tell whether a name is of one of OpenAI's own models, not of one that another server runs."""
    return _OPENAIS.match(_plain(model)) is not None


def _gpt(model: str) -> tuple[int, int]:
    found = _GPT.match(_plain(model))
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def is_reasoning(model: str) -> bool:
    """Tell whether a model of OpenAI reasons, and so refuses to be told how to sample."""
    name = _plain(model)
    if _O_SERIES.match(name):
        return True
    return _gpt(name)[0] >= 5 and "-chat" not in name and "-search" not in name


def openai_efforts(model: str) -> tuple[str, ...]:
    """Give the efforts that a reasoning model of OpenAI takes, from the least to the most."""
    name, version = _plain(model), _gpt(model)
    if not version[0]:
        return _COMMON
    if "-pro" in name:
        return ("high",) if version == (5, 0) else ("medium", "high", "xhigh")
    if "-codex" in name:
        return (*_COMMON, "xhigh") if version >= (5, 2) or "-max" in name else _COMMON
    if version == (5, 0):
        return ("minimal", *_COMMON)
    if version == (5, 1):
        return ("none", *_COMMON)
    return ("none", *_COMMON, "xhigh") if version < (5, 6) else ("none", *_COMMON, "xhigh", "max")


# -- Anthropic -------------------------------------------------------------------------------------------------


def _claude(model: str) -> tuple[str, tuple[int, int]]:
    """Give the family and version; (0, 0) for what is none of Anthropic's, the newest for one without a number."""
    found = _CLAUDE.search(model)
    if found:
        return found[1] or "", (int(found[2]), int(found[3] or 0))
    return "", (9, 0) if "claude" in model else (0, 0)


def thinks_adaptively(model: str) -> bool:
    """Tell whether a model decides itself how long it thinks, told an effort, and not by a budget of tokens."""
    return _claude(model)[1] >= (4, 6)


def thinks_unasked(model: str) -> bool:
    """Tell whether a model thinks where a request does not speak of it."""
    return _claude(model)[1] >= (5, 0)


def thinking_off(model: str) -> str:
    """Give the type of thinking that turns it off in a model that thinks unasked; "" where nothing does."""
    family, version = _claude(model)
    if "fable" in model or "mythos" in model or (family == "opus" and version >= (5, 5)):
        return ""
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"


def always_thinks(model: str) -> bool:
    """Tell whether a model's thinking cannot be turned off."""
    return not thinking_off(model)


def takes_sampling(model: str) -> bool:
    """Tell whether a model of Anthropic may be told how to sample."""
    return _claude(model)[1] < (4, 7)


def takes_schemas(model: str) -> bool:
    """Tell whether a model of Anthropic holds to a JSON schema in answers and in the arguments of tools."""
    version = _claude(model)[1]
    return version == (0, 0) or version >= (4, 5)


def anthropic_efforts(model: str) -> tuple[str, ...]:
    """Give the efforts that a model takes that thinks adaptively."""
    family, version = _claude(model)
    if version >= (4, 7):
        return (*_COMMON, "xhigh", "max")
    return (*_COMMON, "max") if family == "opus" else _COMMON


def most_tokens(model: str) -> int:
    """Give the tokens of an answer to allow where a request does not say, as Anthropic's have to be told."""
    family, version = _claude(model)
    if version == (0, 0) or (family == "opus" and version < (4, 5)):
        return 32_000 if version[0] != 3 else 4096
    if version >= (3, 7):
        return 64_000
    return 8192 if version == (3, 5) else 4096
