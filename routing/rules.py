"""Which rule takes a request, and what is wrong with a rule."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import re2

from routing.definitions import ANTHROPIC, LIMITS, OPENAI, STRATEGIES, WEIGHTED, RequestFacts, Rule

CLIENTS = ("claude-code", "codex", "opencode", "other")
# Models and paths whose rules are remembered.
MAX_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request at one rule: whether it fits, whether it is the one that takes it, and why."""

    rule: Rule
    fits: bool
    is_taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    model: object  # a pattern, or None
    path: object
    headers: tuple[tuple[str, object], ...]

    def fits_static(self, model: str, path: str) -> bool:
        return (self.model is None or bool(self.model.search(model))) and (
            self.path is None or bool(self.path.search(path))
        )

    def fits_rest(self, facts: RequestFacts) -> bool:
        rule = self.rule
        if (rule.client and rule.client != facts.client) or (rule.dialect and rule.dialect != facts.dialect):
            return False
        return all(_any(pattern, name, facts) for name, pattern in self.headers)

    def why_not(self, facts: RequestFacts) -> str:
        """Say which condition does not hold, or give an empty text."""
        rule = self.rule
        if not rule.enabled:
            return "it is switched off"
        if self.model is not None and not self.model.search(facts.model):
            what = f"the model {facts.model}" if facts.model else "a request without a model"
            return f"{what} does not match {rule.model_pattern}"
        if self.path is not None and not self.path.search(facts.path):
            return f"the path {facts.path} does not match {rule.path_pattern}"
        for wanted, got, what in ((rule.client, facts.client, "client"), (rule.dialect, facts.dialect, "dialect")):
            if wanted and wanted != got:
                return f"the {what} is {got or 'not known'}, not {wanted}"
        for name, pattern in self.headers:
            if not _any(pattern, name, facts):
                return f"no header {name} matches {pattern.pattern}"
        return ""


def _any(pattern, name: str, facts: RequestFacts) -> bool:
    return any(key == name and pattern.search(value) for key, value in facts.headers)


class RuleSet:
    """Rules in the order in which they are asked: by priority, the highest first; among equals as they were given."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: -rule.priority))
        self._all = tuple(_compile(rule) for rule in self.rules)
        self._enabled = tuple(compiled for compiled in self._all if compiled.rule.enabled)
        self._known: dict[tuple[str, str], tuple[_Compiled, ...]] = {}
        asked = [compiled.rule for compiled in self._enabled]
        # What has to be read of a request before it can be asked about.
        self.needs_model = any(rule.model_pattern for rule in asked)
        self.needs_headers = any(rule.headers for rule in asked)
        self.needs_client = any(rule.client for rule in asked)

    def __bool__(self) -> bool:
        return bool(self._enabled)

    def match(self, facts: RequestFacts) -> Rule | None:
        """Give the rule that takes the request."""
        # Patterns are looked at once for each model and path, of which there are few.
        key = (facts.model, facts.path)
        able = self._known.get(key)
        if able is None:
            able = tuple(compiled for compiled in self._enabled if compiled.fits_static(*key))
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = able
        return next((compiled.rule for compiled in able if compiled.fits_rest(facts)), None)

    def explain(self, facts: RequestFacts) -> tuple[Verdict, ...]:
        """Say of each rule whether it fits, and why not."""
        verdicts, is_taken = [], False
        for compiled in self._all:
            reason = compiled.why_not(facts)
            takes = not reason and not is_taken
            if not reason:
                reason = "it takes the request" if takes else "it would fit, but a rule before it takes the request"
            verdicts.append(Verdict(compiled.rule, compiled.why_not(facts) == "", takes, reason))
            is_taken |= takes
        return tuple(verdicts)


def _compile(rule: Rule) -> _Compiled:
    return _Compiled(
        rule,
        pattern_of(rule.model_pattern) if rule.model_pattern else None,
        pattern_of(rule.path_pattern) if rule.path_pattern else None,
        tuple((name.lower(), pattern_of(pattern)) for name, pattern in rule.headers),
    )


def pattern_of(text: str):
    """Compile a pattern (RE2: no catastrophic backtracking). Raises ValueError with the engine's words."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{text!r} is no regular expression (RE2): {reason}") from None


def problems_of(rule: Rule, providers: Collection[str]) -> list[tuple[str, str]]:
    """Give what keeps a rule from being used: (field, problem in words)."""
    problems = []
    for field, pattern in (("model_pattern", rule.model_pattern), ("path_pattern", rule.path_pattern)):
        problems += _pattern_problems(field, pattern)
    for name, pattern in rule.headers:
        problems += _pattern_problems("headers", pattern)
        if not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name.isascii():
            problems.append(("headers", f"{name!r} is no name of a header"))
    for field, value, known in (
        ("strategy", rule.strategy, STRATEGIES),
        ("client", rule.client, ("", *CLIENTS)),
        ("dialect", rule.dialect, ("", ANTHROPIC, OPENAI)),
    ):
        if value not in known:
            problems.append((field, f"expected one of {', '.join(filter(None, known))}, got {value!r}"))
    return problems + _chain_problems(rule, providers)


def _pattern_problems(field: str, pattern: str) -> list[tuple[str, str]]:
    try:
        pattern_of(pattern)
    except ValueError as error:
        return [(field, str(error))]
    return []


def _chain_problems(rule: Rule, providers: Collection[str]) -> list[tuple[str, str]]:
    problems = []
    known = ", ".join(providers)
    for field, names in (
        ("providers", rule.providers),
        ("alternatives", rule.alternatives),
        ("fallbacks", rule.fallbacks),
    ):
        problems += [
            (field, f"expected one of the providers ({known}), got {name!r}") for name in names if name not in providers
        ]
    if not rule.providers:
        problems.append(("providers", "names no provider; primary or strategy needs some"))
    for name, count in Counter(rule.all_providers()).items():
        if count > 1:
            problems.append(("providers", f"{name} is named {count} times: the chain would come back to it"))
    if rule.strategy == WEIGHTED:
        if len(rule.weights) != len(rule.providers):
            problems.append(("weights", "expected a weight for each provider"))
        elif any(weight < 0 for weight in rule.weights):
            problems.append(("weights", "expected no weight below 0"))
        elif rule.weights and not sum(rule.weights):
            problems.append(("weights", "the weights sum to nothing: nobody would be asked"))
    if rule.strategy == LIMITS and not rule.alternatives:
        problems.append(("alternatives", "limits_alternative needs somebody to turn to"))
    return problems


def warnings_of(rules: RuleSet, enabled: Collection[str]) -> dict[str, list[str]]:
    """Give what makes a rule useless though it is right, by rule: `enabled` are the providers that may be asked."""
    found: dict[str, list[str]] = {}
    before: list[Rule] = []
    for rule in rules.rules:
        if not rule.enabled:
            continue
        warnings = [
            f"it can never match: the rule {earlier.name} takes all of its requests"
            for earlier in before
            if _covers(earlier, rule)
        ][:1]
        if not any(name in enabled for name in rule.all_providers()):
            warnings.append("it can never serve: all of its providers are switched off")
        if rule.path_pattern and rule.dialect and _contradicts(rule):
            warnings.append(f"it can never match: its path is not of the dialect {rule.dialect}")
        if warnings:
            found[rule.name] = warnings
        before.append(rule)
    return found


def _covers(earlier: Rule, rule: Rule) -> bool:
    """Whether every request that fits `rule` fits `earlier`, as far as equal or absent conditions tell."""
    pairs = (
        (earlier.model_pattern, rule.model_pattern), (earlier.path_pattern, rule.path_pattern),
        (earlier.client, rule.client), (earlier.dialect, rule.dialect),
    )  # fmt: skip
    return all(not first or first == second for first, second in pairs) and set(earlier.headers) <= set(rule.headers)


def _contradicts(rule: Rule) -> bool:
    path = rule.path_pattern.lstrip("^")
    vendors = {"/v1/messages": ANTHROPIC, "/v1/complete": ANTHROPIC, "/v1/chat/": OPENAI, "/v1/responses": OPENAI}
    return any(path.startswith(start) and vendor != rule.dialect for start, vendor in vendors.items())
