"""What is wrong with a rule, and what in a set of rules can never take effect: for the file and the admin alike."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from routing.definitions import ANTHROPIC, LIMITS, OPENAI, STRATEGIES, WEIGHTED, Provider, Rule
from routing.paths import dialect_of_path, is_shared
from routing.rules import RuleSet, compiled, conditions_of

CLIENTS = ("claude-code", "codex", "opencode", "other")
DIALECTS = (ANTHROPIC, OPENAI)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)  # RFC 9110, section 5.6.2: a token
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
# Patterns that take every text that has no line break, as models and paths have none.
_TAKES_ALL = ("", "^", "$", ".*", "^.*", ".*$", "^.*$")
_LITERAL_PATH = re.compile(r"\^((?:/[\w\-]+)+)(?:/?\$|/?\.\*\$?|/)?", re.ASCII)


def problems_of(rule: Rule, providers: Collection[str]) -> list[str]:
    """Say what is wrong with `rule` where `providers` are the names there are: each as ``field: what was expected``.

    A field is one of `Rule`'s. A rule without problems can be compiled (routing.rules) and served (routing.router).
    """
    return [
        *_problems_of_choices(rule),
        *_problems_of_patterns(rule),
        *_problems_of_providers(rule, providers),
        *_problems_of_strategy(rule),
    ]


def warnings_of(rules: Iterable[Rule], providers: Mapping[str, Provider]) -> list[tuple[Rule, str]]:
    """Say of `rules` (without problems) which can never take a request, and why, in the order in which they are asked."""
    warnings: list[tuple[Rule, str]] = []
    before: list[tuple[frozenset[str], Rule]] = []
    for rule in RuleSet(rules).rules:
        if not rule.enabled:
            continue
        names = rule.all_providers()
        if not any(name in providers and providers[name].enabled for name in names):
            warnings.append((rule, f"It takes no request: none of its providers is enabled ({', '.join(names)})."))
            continue
        conditions = frozenset(conditions_of(_plain(rule)))
        hiding = next((other for theirs, other in before if theirs <= conditions), None)
        if hiding is not None:
            warnings.append((rule, f"It takes no request: {hiding.name!r} comes before it and takes all of them."))
        elif why := _contradiction(rule):
            warnings.append((rule, f"It takes no request: {why}."))
        before.append((conditions, rule))
    return warnings


def _problems_of_choices(rule: Rule) -> list[str]:
    problems = []
    if not _NAME.fullmatch(rule.name):
        problems.append("name: expected 1 to 100 characters, without control characters")
    for field, value, known in (
        ("strategy", rule.strategy, STRATEGIES),
        ("client", rule.client, ("", *CLIENTS)),
        ("dialect", rule.dialect, ("", *DIALECTS)),
    ):
        if value not in known:
            problems.append(f"{field}: expected {_one_of([name for name in known if name])}, got {value!r}")
    return problems


def _problems_of_patterns(rule: Rule) -> list[str]:
    problems = _caught("model_pattern", rule.model_pattern) + _caught("path_pattern", rule.path_pattern)
    for name, pattern in rule.headers:
        if not _HEADER_NAME.fullmatch(name):
            problems.append(f"headers: expected the name of a header, got {name!r}")
        problems += _caught("headers", pattern, f"{name}: ")
    return problems


def _problems_of_providers(rule: Rule, providers: Collection[str]) -> list[str]:
    problems, seen = [], set()
    known = _one_of(sorted(providers)) if providers else "a provider to be there first"
    if not rule.providers:
        problems.append("providers: expected at least one")
    for field in ("providers", "alternatives", "fallbacks"):
        for name in getattr(rule, field):
            if name in seen:
                problems.append(f"{field}: {name!r} is named twice; each provider is asked once")
            elif name not in providers:
                problems.append(f"{field}: expected {known}, got {name!r}")
            seen.add(name)
    return problems


def _problems_of_strategy(rule: Rule) -> list[str]:
    problems = []
    if rule.strategy == WEIGHTED:
        if len(rule.weights) != len(rule.providers):
            problems.append(f"weights: expected one for each provider ({len(rule.providers)}), got {len(rule.weights)}")
        if any(weight < 0 for weight in rule.weights) or sum(rule.weights) <= 0:
            problems.append("weights: expected whole numbers from 0 on, and at least one above 0")
    elif rule.weights:
        problems.append(f"weights: only the strategy {WEIGHTED} has any")
    if rule.alternatives and rule.strategy != LIMITS:
        problems.append(f"alternatives: only the strategy {LIMITS} has any")
    if not (math.isfinite(rule.backoff_base_secs) and rule.backoff_base_secs > 0):
        problems.append("backoff_base_secs: expected seconds above 0")
    return problems


def _caught(field: str, pattern: str, where: str = "") -> list[str]:
    try:
        compiled(pattern)
    except ValueError as error:
        return [f"{field}: {where}{error}"]
    return []


def _plain(rule: Rule) -> Rule:
    """Give the rule without conditions that every request meets."""
    return replace(
        rule,
        model_pattern="" if rule.model_pattern in _TAKES_ALL else rule.model_pattern,
        path_pattern="" if rule.path_pattern in _TAKES_ALL else rule.path_pattern,
    )


def _contradiction(rule: Rule) -> str:
    """Say where a path that the rule's pattern spells out never has the dialect that the rule asks for."""
    literal = _LITERAL_PATH.fullmatch(rule.path_pattern)
    if not literal or not rule.dialect:
        return ""
    path = literal[1].encode()
    dialect = dialect_of_path(path, False)
    if dialect is None or is_shared(path) or dialect == rule.dialect:
        return ""
    return f"{literal[1]} is {dialect}'s, and its dialect is {rule.dialect}"


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0]
