"""What the sections of the configuration are made of."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pii.patterns import compiled
from routing import masking
from routing.provider_validation import problem_of_url

Dialect = Literal["openai", "anthropic"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


def _pattern(text: str) -> str:
    compiled(text)
    return text


def _url(text: str) -> str:
    if problem := problem_of_url(text):
        raise ValueError(problem)
    return text


def _holds_a_secret(text: str) -> bool:
    from pii.detectors import find  # loads much, and is needed where settings are shown

    return bool(find(text, ("SECRET",)))


masking.detectors.append(_holds_a_secret)

Pattern = Annotated[str, AfterValidator(_pattern)]
Url = Annotated[str, AfterValidator(_url)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
