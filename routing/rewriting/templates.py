"""Texts with variables: ``${provider}``, ``${model}``, ``${session_id}``, ``${request_id}``, ``${env.NAME}``.

The environment of a proxy holds its owner's secrets, and headers and bodies go to a provider: what looks like a secret,
by its name or by an address with a password in it, gives an empty text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

REQUEST_VARIABLES = ("provider", "model", "session_id", "request_id")
NOTIFICATION_VARIABLES = ("original_provider", "new_provider", "reason", "model")

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|KEYS?(?:_|\Z)|(?:\A|_)(?:AUTH|AUTHORIZATION|PRIVATE|PASS|DSN|COOKIES?|SIGNATURE)(?:_|\Z)"
    r"|DATABASE_UR[LI]|CONNECTION_STRING|.PWD\Z",
    re.IGNORECASE,
)
_SECRET_ADDRESS = re.compile(r"://[^/@\s]*:[^/@\s]*@")


def check_template(text: str, notification: bool = False) -> str | None:
    """Say what is wrong with the variables of a template, or None."""
    known = NOTIFICATION_VARIABLES if notification else REQUEST_VARIABLES
    for part in text.split("${")[1:]:
        name, closed, _ = part.partition("}")
        if not closed:
            return "expected ${NAME}, the closing brace is missing"
        if name not in known and (notification or not name.startswith("env.")):
            names = ", ".join(f"${{{n}}}" for n in known) + ("" if notification else ", ${env.NAME}")
            return f"${{{name}}} is no variable of a template; known: {names}"
    return None


def fill(text: str, values: Mapping[str, str]) -> str:
    """Give `text` with its variables replaced; one that `values` does not have stays as it is."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


@dataclass(frozen=True, slots=True)
class Template:
    """A text whose variables `names` stand between its `literals`, of which there is one more."""

    literals: tuple[str, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, known: Mapping[str, str]) -> "Template":
        """Read `text`; those of its variables that are `known` by now are replaced, once and for all."""
        pieces = _VARIABLE.split(text)
        literals, names = [pieces[0]], []
        for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in REQUEST_VARIABLES and name not in known:
                names.append(name)
                literals.append(literal)
            else:
                literals[-1] += known.get(name, f"${{{name}}}") + literal
        return cls(tuple(literals), tuple(names))

    def fill(self, values: Mapping[str, str]) -> str:
        """Give the text; `values` has all of `names`."""
        out = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            out += (values[name], literal)
        return "".join(out)


def environment(text: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Give the ``env.NAME`` variables of `text` with their values, and a warning for each that looks like a secret.

    A variable that the environment does not have is empty.
    """
    values, warnings = {}, []
    for variable in dict.fromkeys(_VARIABLE.findall(text)):
        prefix, dot, name = variable.partition(".")
        if prefix != "env" or not dot:
            continue
        value = environ.get(name, "")
        if _SECRET_NAME.search(name) or _SECRET_ADDRESS.search(value):
            warnings.append(f"${{{variable}}} looks like a secret and gives an empty text")
            value = ""
        # Bytes that are no UTF-8 stand in the environment as halves of surrogate pairs, which no JSON can hold.
        values[variable] = value.encode(errors="replace").decode()
    return values, warnings
