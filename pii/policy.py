"""What is redacted, and how."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from pii.detectors import TYPES

Mode = Literal["mask", "remove", "tokenize", "partial"]

# What stands for a text that could not be examined.
FAILED = "[REDACTION FAILED]"
# Types that no custom pattern may have: the built-in ones, and those of LunaRoute's own marks.
RESERVED = (*TYPES, "BINARY", "FAILED")


@dataclass(frozen=True, slots=True)
class Handling:
    """How values of a type are redacted. ``placeholder`` replaces the usual ``[TYPE]`` of mode mask."""

    mode: Mode
    show_chars: int = 4
    placeholder: str | None = None


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """A pattern of the user's: what it finds has the type ``name``, in upper case. ``pattern`` is compiled (RE2)."""

    name: str
    pattern: Any
    confidence: float = 0.9
    mode: Mode | None = None
    placeholder: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Which types are found, and what becomes of their values. ``secret`` is needed where any mode is tokenize."""

    types: tuple[str, ...] = TYPES
    min_confidence: float = 0.7
    mode: Mode = "mask"
    partial_show_chars: int = 4
    secret: str = field(default="", repr=False)
    overrides: Mapping[str, Handling] = field(default_factory=dict)
    custom_patterns: tuple[CustomPattern, ...] = ()
    keep_binary: bool = False

    def handling(self, kind: str) -> Handling:
        """How values of the type `kind` are redacted: a custom pattern's own word, then the overrides', then the policy's."""
        custom = next((p for p in self.custom_patterns if p.name == kind), None)
        general = self.overrides.get(kind) or Handling(self.mode, self.partial_show_chars)
        if custom is None:
            return general
        # Who names a placeholder wants to see it.
        mode = custom.mode or ("mask" if custom.placeholder is not None else general.mode)
        return Handling(mode, general.show_chars, custom.placeholder)

    def fingerprint(self) -> str:
        """Give 16 hexadecimal digits that tell this policy from others.

        The secret has no part in them: nothing of it shows, and what is redacted already gets no new tokens by another.
        """
        said = {
            "types": sorted(self.types), "min_confidence": self.min_confidence, "mode": self.mode,
            "partial_show_chars": self.partial_show_chars, "keep_binary": self.keep_binary,
            "overrides": {kind: asdict(handling) for kind, handling in self.overrides.items()},
            "custom_patterns": [
                [p.name, p.pattern.pattern, p.confidence, p.mode, p.placeholder] for p in self.custom_patterns
            ],
        }  # fmt: skip
        return sha256(b"lunaroute pii policy 1 " + json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def marks(self) -> re.Pattern:
        """Give a pattern of what redaction leaves behind, which is never redacted again: in brackets, with no value in it."""
        names = "|".join((*TYPES, *(p.name for p in self.custom_patterns)))
        marks = [rf"\[(?:{names})(?::[0-9a-f]{{8}})?\]", re.escape(FAILED), r"\[BINARY \d+ bytes sha256:[0-9a-f]{64}\]"]
        own = [p.placeholder for p in self.custom_patterns if p.placeholder]
        return re.compile("|".join(marks + [re.escape(p) for p in own if re.fullmatch(r"\[[^\[\]]+\]", p)]))
