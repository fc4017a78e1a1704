"""How well values are found that no detector was written for: a corpus apart from the one that the detectors were tuned on."""

from random import Random

import pytest

from pii.detectors import TYPES, find
from tests.pii.corpus import Sample, Score, score
from tests.pii.held import carriers, values

SEED = 20261201
ROUNDS = {"EMAIL": 160, "PHONE": 160, "SSN": 160, "CREDIT_CARD": 160, "IP_ADDRESS": 160, "IBAN": 160}
DRAWN = {
    "EMAIL": values.email, "PHONE": values.phone, "SSN": values.ssn, "CREDIT_CARD": values.card, "IP_ADDRESS": values.address, "IBAN": values.iban,
}  # fmt: skip
# In sources of others, addresses of people and machines are what they seem to be: nobody can call them wrong.
NOT_IN_SOURCES = ("EMAIL", "IP_ADDRESS")


def held(type_: str, value: str, carrier: str) -> Sample:
    start = carrier.index("«»")
    return Sample(carrier.replace("«»", value), ((start, start + len(value), type_),), "held")


def samples(seed: int) -> list[Sample]:
    random = Random(seed)
    made = [
        held(type_, draw(random), random.choice(carriers.CARRIERS))
        for type_, draw in DRAWN.items()
        for _ in range(ROUNDS[type_])
    ]
    for _ in range(4):
        made += [held("SECRET", secret, random.choice(carriers.CARRIERS)) for secret in values.secrets(random)]
    for _ in range(4):
        for line in values.placed_secrets(random):
            before, _, rest = line.partition("«")
            secret, _, after = rest.partition("»")
            text = random.choice(("«»", "# settings\n«»\n", "a: 1\n«»\nb: 2\n")).replace("«»", f"{before}«»{after}")
            made.append(held("SECRET", secret, text))
    made += [Sample(text, (), "id") for _ in range(6) for text in carriers.ids(random)]
    return made


@pytest.fixture(scope="module")
def result() -> tuple[dict[str, Score], list[str]]:
    def spans(text: str) -> list[tuple[int, int, str]]:
        return [(finding.start, finding.end, finding.type) for finding in find(text)]

    def spans_in_sources(text: str) -> list[tuple[int, int, str]]:
        return [span for span in spans(text) if span[2] not in NOT_IN_SOURCES]

    scores, mistakes = score(spans, TYPES, samples(SEED))
    more, others = score(
        spans_in_sources, TYPES, [Sample(text, (), "source") for text in carriers.sources(Random(SEED), 90)]
    )
    for type_ in TYPES:
        scores[type_].wrong += more[type_].wrong
    return scores, mistakes + others


@pytest.mark.parametrize("type_", TYPES)
def test_what_is_held_out_is_found_and_hardly_anything_else(result, type_):
    scores, mistakes = result
    told = "\n".join(line[:400] for line in mistakes if f" {type_} " in line)[:6000]
    assert scores[type_].labels >= 150
    assert scores[type_].recall >= 0.99, told
    assert scores[type_].precision >= 0.98, told
