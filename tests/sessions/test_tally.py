from itertools import count

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from sessions.tally import Counts, Spreads

_number = count()


@pytest.fixture
def name() -> str:
    """A name that no family has yet."""
    return f"of_a_test_{next(_number)}"


def text_of(family) -> str:
    registry = CollectorRegistry()
    registry.register(family)
    parsed = list(parse_openmetrics(openmetrics(registry).decode()))
    assert parsed  # which reads strictly
    return generate_latest(registry).decode()


def test_a_counter_comes_out_as_prometheus_has_it(name):
    family = Counts(name, "Things", ("kind",))
    family.of("a").value += 2
    family.of("b").value += 0.5
    text = text_of(family)
    assert f"# TYPE lunaroute_{name}_total counter\n" in text
    assert f'lunaroute_{name}_total{{kind="a"}} 2.0\n' in text
    assert f'lunaroute_{name}_total{{kind="b"}} 0.5\n' in text


def test_a_family_without_labels_is_there_from_the_beginning(name):
    assert f"lunaroute_{name}_total 0.0\n" in text_of(Counts(name, "Things"))


def test_a_value_on_a_bound_is_within_it(name):
    family = Spreads(name, "Seconds", bounds=(0.5, 1.0))
    for value in (0.5, 0.6, 1.0, 7.0):
        family.of().add(value)
    lines = [line for line in text_of(family).splitlines() if not line.startswith("#")]
    start = f"lunaroute_{name}"
    assert lines == [
        f'{start}_bucket{{le="0.5"}} 1.0', f'{start}_bucket{{le="1.0"}} 3.0', f'{start}_bucket{{le="+Inf"}} 4.0',
        f"{start}_count 4.0", f"{start}_sum 9.1",
    ]  # fmt: skip


def test_values_that_were_counted_elsewhere_are_added(name):
    family = Spreads(name, "Seconds", bounds=(0.5, 1.0))
    family.of().add_many([3, 0, 2], 12.5)
    family.of().add(0.1)
    text = text_of(family)
    assert f'lunaroute_{name}_bucket{{le="1.0"}} 4.0\n' in text
    assert f"lunaroute_{name}_count 6.0\nlunaroute_{name}_sum 12.6\n" in text


def test_the_last_request_of_a_class_is_its_exemplar(name):
    family = Spreads(name, "Seconds", bounds=(0.5, 1.0))
    family.of().add_of("first", 0.1)
    family.of().add_of("second", 0.2)
    registry = CollectorRegistry()
    registry.register(family)
    (parsed,) = parse_openmetrics(openmetrics(registry).decode())
    told = {sample.labels["le"]: sample.exemplar for sample in parsed.samples if "le" in sample.labels}
    assert told["0.5"].labels == {"request_id": "second"}
    assert told["0.5"].value == 0.2
    assert told["1.0"] is told["+Inf"] is None
