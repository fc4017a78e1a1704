"""What the admin asks for, and what it says where that is wrong."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from routing import models
from routing.keys import KeyProblem
from routing.masking import HIDDEN, is_hidden_in, masked, restored
from routing.provider_validation import problem_of_key, problems_of_provider
from routing.sources import from_configuration, own_address
from routing.validation import problems_of

# Fields that go to a provider with each request: credentials in them are shown as `HIDDEN`.
SENT_ALONG = ("base_url", "request_headers", "body_defaults", "body_overrides", "prepend_messages")
_LINES = {"rows": 3, "cols": 60, "spellcheck": "false"}


class Lines(forms.CharField):
    """Texts, one a line."""

    widget = forms.Textarea(attrs=_LINES)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != _python(self, data)


class Pairs(Lines):
    """Names with texts, one pair a line, ``name`` and text held apart by `separator`."""

    def __init__(self, separator: str, **options: Any) -> None:
        self.separator = separator
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        between = f"{self.separator} " if self.separator == ":" else f" {self.separator} "
        return "\n".join(between.join(map(str, pair)) if isinstance(pair, list) else str(pair) for pair in value)

    def to_python(self, value: Any) -> list:
        return [self._pair(line) for line in super().to_python(value)]

    def _pair(self, line: str) -> list[str]:
        name, separator, text = line.partition(self.separator)
        if not separator:
            raise ValidationError(f"expected a {self.separator!r} between name and value in {line!r}")
        return [name.strip(), text.strip()]


class Numbers(Lines):
    """Whole numbers, held apart by commas."""

    widget = forms.TextInput

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list:
        words = (value or "").replace(",", " ").split()
        for word in words:
            if not word.isascii() or not word.isdigit() or len(word) > 9:
                raise ValidationError(f"expected whole numbers from 0 on, held apart by commas, got {word!r}")
        return [int(word) for word in words]


class Json(forms.CharField):
    """A document of JSON. An empty field is `empty`."""

    widget = forms.Textarea(attrs={**_LINES, "rows": 5})

    def __init__(self, empty: Any, **options: Any) -> None:
        self.empty = empty
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False) if value else ""

    def to_python(self, value: Any) -> Any:
        if not (value or "").strip():
            return self.empty
        try:
            found = json.loads(value, parse_constant=_no_number)
        except json.JSONDecodeError as error:
            raise ValidationError(f"expected JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"expected JSON: {error}") from None
        if not isinstance(found, type(self.empty)):
            raise ValidationError(
                "expected names with values ({…})" if self.empty == {} else "expected a list ([…])",
            )
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or self.empty) != _python(self, data)


class _Checked(forms.ModelForm):
    """Adds to each field what the data plane would have against it."""

    def _candidate(self, cleaned: Mapping[str, Any]) -> Any:
        """Give a row with what is right so far; the rest has its defaults."""
        names = {field.name for field in self._meta.model._meta.fields}
        return self._meta.model(**{name: value for name, value in cleaned.items() if name in names})

    def _add(self, problems: Iterable[str]) -> None:
        for problem in problems:
            field, _, words = problem.partition(": ")
            if field not in self.fields:
                self.add_error(None, problem)
            elif field not in self.errors:
                self.add_error(field, words)


class ProviderForm(_Checked):
    """A provider. Its key can be entered and removed, never read."""

    api_key = forms.CharField(
        label="API key",
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60}),
        help_text="Replaces the client's. It is stored encrypted and never shown again. Blank: the key stays as it is.",
    )
    remove_key = forms.BooleanField(
        label="Remove the key", required=False, help_text="The client's own key is passed on then."
    )
    model_map = Pairs(
        "=",
        required=False,
        help_text="One a line: <code>claude-opus-* = gpt-5.5</code>. <code>*</code> and <code>?</code> stand for any text and "
        "any character; the first that fits counts.",
    )
    request_headers = Pairs(
        ":",
        required=False,
        help_text="One a line: <code>X-Project-ID: ${env.PROJECT_NAME}</code>. Variables: <code>${provider}</code>, "
        "<code>${model}</code>, <code>${session_id}</code>, <code>${request_id}</code>, <code>${env.NAME}</code>.",
    )
    body_defaults = Json({}, required=False, help_text="JSON: what a request gets where it says nothing itself.")
    body_overrides = Json({}, required=False, help_text="JSON: what a request gets in any case.")
    prepend_messages = Json(
        [], required=False, help_text='JSON: <code>[{"role": "user", "content": "Be concise."}]</code>'
    )

    class Meta:
        model = models.Provider
        exclude = ["encrypted_key"]  # noqa: DJ006 (every other field is asked for)
        widgets = {
            "switch_notification": forms.Textarea(attrs={"rows": 2, "cols": 60}),
            "base_url": forms.TextInput(attrs={"size": 60, "spellcheck": "false"}),
        }
        help_texts = {
            "name": "What rules and the marker <code>[LUNAROUTE:name]</code> call it.",
            "base_url": "Such as <code>https://api.anthropic.com</code> or <code>http://localhost:11434/v1</code>. "
            "With another scheme, host or port the key has to be entered again: a key goes to whom it was given for.",
            "model": "Asked for in place of what the client asked for.",
            "openai_api": "Where a provider of type OpenAI has only one of the two.",
            "switch_notification": "What the model is told, once, when this provider takes over: "
            "<code>${original_provider}</code>, <code>${new_provider}</code>, <code>${reason}</code>, <code>${model}</code>.",
            "timeout_secs": "Seconds without a byte.",
            "connect_timeout_secs": "Seconds.",
            "pool_idle_timeout_secs": "Seconds.",
            "tcp_keepalive_secs": "Seconds; 0 is off.",
            "codex_enabled": "In place of a key. It goes to chatgpt.com and openai.com only.",
            "codex_auth_file": "Codex CLI's own; only the configuration file names another one.",
        }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept = {name: self.initial.get(name) for name in SENT_ALONG}
        self.initial |= {name: masked(value, name) for name, value in self._kept.items()}
        self.lost_key = False  # because the provider is elsewhere from now on

    def clean(self) -> dict[str, Any]:
        """Check all fields together, and encrypt a new key."""
        cleaned = super().clean()
        is_elsewhere = bool(self.instance.pk) and _origin(self._kept["base_url"]) != _origin(cleaned.get("base_url"))
        self._take_hidden(cleaned, is_elsewhere)
        candidate = self._candidate(cleaned)
        self._add(problems_of_provider(candidate.without_key(), own_address()))
        self._check_name(cleaned.get("name", ""))
        self._take_key(cleaned.get("api_key", ""), cleaned.get("remove_key", False), is_elsewhere)
        return cleaned

    def save(self, commit: bool = True) -> models.Provider:
        """Save the provider with its key as it is from now on."""
        self.instance.encrypted_key = self._encrypted
        return super().save(commit)

    def _check_name(self, name: str) -> None:
        if name in from_configuration()[0]:
            self._add([f"name: the configuration file has a provider {name!r}; expected another name"])
        before = self.initial.get("name")
        rules = rules_naming(before) if before and name and name != before else []
        if rules:
            self._add([f"name: {_listed(rules)} {before!r}; expected the same name, or rules that do not name it"])

    def _take_hidden(self, cleaned: dict[str, Any], is_elsewhere: bool) -> None:
        """Put back what was hidden; not where the provider is elsewhere from now on: it was given for another."""
        for name in SENT_ALONG:
            if name not in cleaned or not is_hidden_in(cleaned[name]):
                continue
            cleaned[name] = restored(cleaned[name], None if is_elsewhere else self._kept[name], name)
            if is_hidden_in(cleaned[name]):
                why = ": the base URL is another one, and what is hidden goes nowhere else" if is_elsewhere else ""
                self._add([f"{name}: expected a value in place of each {HIDDEN}{why}"])

    def _take_key(self, key: str, is_removed: bool, is_elsewhere: bool) -> None:
        self._encrypted = self.instance.encrypted_key
        if is_elsewhere and self._encrypted and not key:
            self.lost_key = not is_removed
            self._encrypted = ""
        if is_removed:
            self._encrypted = ""
        if key and is_removed:
            self._add(["api_key: expected either a new key or its removal"])
        elif key and (problem := problem_of_key(key)):
            self._add([f"api_key: {problem}"])
        elif key:
            try:
                candidate = models.Provider()
                candidate.set_key(key)
                self._encrypted = candidate.encrypted_key
            except KeyProblem as problem:
                self._add([f"api_key: the key cannot be stored: {problem}"])


class RuleForm(_Checked):
    """A rule. Providers are named, one a line, in the order in which they are asked."""

    headers = Pairs(
        ":",
        required=False,
        help_text="One a line, with a pattern that is found in its value: <code>x-project-id: ^big-</code>",
    )
    providers = Lines()
    weights = Numbers(
        required=False,
        help_text="For weighted round robin: one for each of the providers, in their order: <code>80, 20</code>",
    )
    alternatives = Lines(required=False, help_text="Asked while those above are at their limits.")
    fallbacks = Lines(required=False, help_text="Asked in this order where those above do not answer.")

    class Meta:
        model = models.Rule
        fields = "__all__"  # noqa: DJ007 (it has no field that is not for this form)
        widgets = {
            name: forms.TextInput(attrs={"size": 60, "spellcheck": "false"})
            for name in ("model_pattern", "path_pattern")
        }
        help_texts = {
            "model_pattern": "A regular expression (RE2) that is found in the model's name: <code>^claude-</code>. "
            "Blank: any model.",
            "path_pattern": "Likewise for the path: <code>^/v1/messages$</code>",
            "dialect": "What the client speaks.",
            "backoff_base_secs": "Seconds, for alternatives while limits last; doubled with each limit in a row.",
        }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if "providers" in self.fields:  # the list's form has the priority alone
            known = ", ".join(sorted(known_providers())) or "none yet"
            self.fields["providers"].help_text = f"Names, one a line. There are: {known}."

    def clean(self) -> dict[str, Any]:
        """Check all fields together."""
        cleaned = super().clean()
        if cleaned.get("name") in {rule.name for rule in from_configuration()[1]}:
            self._add([f"name: the configuration file has a rule {cleaned['name']!r}; expected another name"])
        self._add(problems_of(self._candidate(cleaned).definition(), known_providers()))
        return cleaned


def known_providers() -> set[str]:
    """Give the names of all providers, the file's and the database's."""
    return {*from_configuration()[0], *models.Provider.objects.values_list("name", flat=True)}


def rules_naming(provider: str) -> list[str]:
    """Give the names of the database's rules that name `provider`."""
    rows = models.Rule.objects.values_list("name", "providers", "alternatives", "fallbacks")
    return [name for name, *lists in rows if any(provider in names for names in lists if isinstance(names, list))]


def _origin(url: str | None) -> tuple[str, str, int | None]:
    """Give scheme, host and port of an address: who gets what is sent there."""
    try:
        parts = urlsplit(url or "")
        return (
            parts.scheme,
            (parts.hostname or "").rstrip("."),
            parts.port or {"https": 443, "http": 80}.get(parts.scheme),
        )
    except ValueError:
        return "", "", None


def _listed(rules: list[str]) -> str:
    names = ", ".join(repr(rule) for rule in rules)
    return f"the rule {names} names" if len(rules) == 1 else f"the rules {names} name"


def _python(field: forms.Field, data: Any) -> Any:
    """Give what `data` means, or something that equals nothing where it means nothing."""
    try:
        return field.to_python(data)
    except ValidationError:
        return object()


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
