"""Templates of headers, bodies and notifications: ``${name}`` is filled in for each request."""

import re
from collections.abc import Mapping

REQUEST_VARIABLES = ("provider", "model", "session_id", "request_id")
NOTIFICATION_VARIABLES = ("original_provider", "new_provider", "reason", "model")
# Variables of the environment whose names look like this hold what must not leave the machine.
_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|PRIVATE|COOKIE|SIGNATURE|CERT|DSN|DATABASE_URL|_URI$|_PAT$|_PWD$|^PGPASS",
    re.IGNORECASE,
)


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


def looks_secret(name: str) -> bool:
    """Tell whether a variable of the environment seems to hold a secret."""
    return _SECRET.search(name) is not None


class Template:
    """A text with variables. Those of the environment are filled in at once, the rest by each request."""

    __slots__ = ("_parts", "is_constant", "warnings")

    def __init__(self, text: str, environ: Mapping[str, str]) -> None:
        head, *rest = text.split("${")
        parts: list[tuple[str, str]] = []  # (text, name of the variable after it)
        self.warnings: list[str] = []
        for piece in rest:
            name, _, after = piece.partition("}")
            if name.startswith("env."):
                head += self._from(environ, name[4:]) + after
            else:
                parts.append((head, name))
                head = after
        self._parts = (*parts, (head, ""))
        self.is_constant = not parts

    def _from(self, environ: Mapping[str, str], name: str) -> str:
        if looks_secret(name):
            self.warnings.append(f"${{env.{name}}} looks like a secret and is left empty")
            return ""
        return environ.get(name, "")

    def fill(self, values: Mapping[str, str]) -> str:
        """Give the text with `values`; one that is missing is empty."""
        return "".join([text + values.get(name, "") for text, name in self._parts])
