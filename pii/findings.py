"""What a detector says of a text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A stretch of a text that is, or contains, personal data or a secret."""

    start: int  # characters from the text's start
    end: int  # the first character after it
    type: str  # EMAIL PHONE SSN CREDIT_CARD IP_ADDRESS IBAN SECRET, or a custom pattern's name in upper case
    confidence: float  # 0 to 1
    detector: str  # which one found it: "email", "aws-access-key", "assignment"
