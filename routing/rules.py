"""Which rule takes a request."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import re2

from routing.definitions import FROM_FILE, RequestFacts, Rule
from routing.masking import masked_text

# Clients choose models and paths: what is remembered of them is bounded, in number and in size.
_MAX_CACHED = 1024
_MAX_CACHED_LENGTH = 512
_MAX_VALUES = 256


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says to a request. Of those that match, the first that can serve is `taken`."""

    rule: Rule
    matched: bool
    reason: str  # in words
    taken: bool = False


class RuleSet:
    """Rules in the order in which they are asked: the highest priority first, then the file's, then as given.

    A pattern matches where it is found (RE2; ``^`` and ``$`` bind it). The rules must be without problems
    (routing.validation): a bad pattern raises ValueError.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.source != FROM_FILE))
        self.rules: tuple[Rule, ...] = tuple(ordered)
        self._compiled = tuple([_Compiled(rule) for rule in ordered if rule.enabled])
        self._fitting: dict[tuple[str, str], tuple[_Compiled, ...]] = {}
        # What the proxy must know of a request before it asks.
        self.needs_model = any(c.rule.model_pattern for c in self._compiled)
        self.needs_headers = any(c.rule.headers for c in self._compiled)
        self._header_names = frozenset([name.lower() for c in self._compiled for name, _ in c.rule.headers])
        self.needs_client = any(c.rule.client for c in self._compiled)

    def match(self, facts: RequestFacts) -> Rule | None:
        """Give the rule that takes the request, or None."""
        return next(self.matching(facts), None)

    def may_match(self, model: str, path: str) -> bool:
        """Whether an enabled rule's patterns fit: what else it asks for is not looked at."""
        return bool(self._fit(model, path))

    def matching(self, facts: RequestFacts) -> Iterator[Rule]:
        """Give all enabled rules that match, in order."""
        values: Mapping[str, list[str]] | None = None
        for compiled in self._fit(facts.model, facts.path):
            rule = compiled.rule
            if (rule.client and rule.client != facts.client) or (rule.dialect and rule.dialect != facts.dialect):
                continue
            if compiled.headers:
                values = _by_name(facts.headers, self._header_names) if values is None else values
                if not all(header.fits(values) for header in compiled.headers):
                    continue
            yield rule

    def explain(self, facts: RequestFacts, serving: Collection[str] | None = None) -> tuple[Verdict, ...]:
        """Say of every rule, disabled ones too, whether it matches and why. Not for the path of requests.

        `serving` are the names of the providers that are enabled: a rule with none of them takes nothing.
        """
        verdicts, taken = [], False
        for rule in self.rules:
            matched, reason = (False, "it is disabled") if not rule.enabled else _explained(rule, facts)
            takes = matched and not taken
            if takes and serving is not None and not any(name in serving for name in rule.all_providers()):
                takes, reason = False, f"{reason}; but none of its providers is enabled"
            taken = taken or takes
            verdicts.append(Verdict(rule, matched, reason, takes))
        return tuple(verdicts)

    def _fit(self, model: str, path: str) -> "tuple[_Compiled, ...]":
        """Give the rules whose patterns fit model and path: almost every request has those of one before it."""
        key = (model, path)
        fitting = self._fitting.get(key)
        if fitting is None:
            fitting = tuple([c for c in self._compiled if found(c.model, model) and found(c.path, path)])
            if len(model) + len(path) <= _MAX_CACHED_LENGTH:
                if len(self._fitting) >= _MAX_CACHED:
                    self._fitting.clear()
                self._fitting[key] = fitting
        return fitting


class _Compiled:
    __slots__ = ("headers", "model", "path", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.model = compiled(rule.model_pattern) if rule.model_pattern else None
        self.path = compiled(rule.path_pattern) if rule.path_pattern else None
        self.headers = tuple([_Header(name, pattern) for name, pattern in rule.headers])


class _Header:
    """One condition on a header. Clients send the same values over and over: what they gave is remembered."""

    __slots__ = ("_known", "_name", "_pattern")

    def __init__(self, name: str, pattern: str) -> None:
        self._name, self._pattern = name.lower(), compiled(pattern)
        self._known: dict[str, bool] = {}

    def fits(self, values: Mapping[str, list[str]]) -> bool:
        return any(self._fits(value) for value in values.get(self._name, ()))

    def _fits(self, value: str) -> bool:
        known = self._known.get(value)
        if known is None:
            known = found(self._pattern, value)
            if len(value) <= _MAX_CACHED_LENGTH:
                if len(self._known) >= _MAX_VALUES:
                    self._known.clear()
                self._known[value] = known
        return known


def compiled(text: str) -> Any:
    """Compile a pattern. Raises ValueError, in RE2's words, for what is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(f"expected a regular expression (RE2): {reason}") from None
    except UnicodeEncodeError:
        raise ValueError("expected a regular expression (RE2): it holds half of a surrogate pair") from None


def found(pattern: Any, text: str) -> bool:
    """Whether a compiled pattern (None: any text) is found in `text`. Text that is no Unicode holds none."""
    try:
        return pattern is None or pattern.search(text) is not None
    except UnicodeEncodeError:
        return False


def conditions_of(rule: Rule) -> tuple[str, ...]:
    """Give a rule's conditions in words, such as ``model matches ^claude-``; () where it takes every request."""
    said = []
    if rule.model_pattern:
        said.append(f"model matches {rule.model_pattern}")
    if rule.path_pattern:
        said.append(f"path matches {rule.path_pattern}")
    if rule.client:
        said.append(f"client is {rule.client}")
    if rule.dialect:
        said.append(f"dialect is {rule.dialect}")
    said += [f"header {name.lower()} matches {masked_text(pattern, name)}" for name, pattern in rule.headers]
    return tuple(said)


def _by_name(headers: Iterable[tuple[str, str]], names: Collection[str]) -> Mapping[str, list[str]]:
    values = defaultdict(list)
    for name, value in headers:
        if name in names:
            values[name].append(value)
    return values


def _explained(rule: Rule, facts: RequestFacts) -> tuple[bool, str]:
    """Give whether an enabled rule matches, and its conditions or the first that is not met."""
    if rule.model_pattern and not found(compiled(rule.model_pattern), facts.model):
        asked = f"model {facts.model}" if facts.model else "the request names no model, which"
        return False, f"{asked} does not match {rule.model_pattern}"
    if rule.path_pattern and not found(compiled(rule.path_pattern), facts.path):
        return False, f"path {facts.path} does not match {rule.path_pattern}"
    if rule.client and rule.client != facts.client:
        return False, f"client is {facts.client or 'unknown'}, not {rule.client}"
    if rule.dialect and rule.dialect != facts.dialect:
        return False, f"dialect is {facts.dialect or 'unknown'}, not {rule.dialect}"
    values = _by_name(facts.headers, [name.lower() for name, _ in rule.headers])
    for name, pattern in rule.headers:
        if not _Header(name, pattern).fits(values):
            there = f"does not match {pattern}" if name.lower() in values else "is not there"
            return False, f"header {name.lower()} {there}"
    return True, "; ".join(conditions_of(rule)) or "it takes every request"
