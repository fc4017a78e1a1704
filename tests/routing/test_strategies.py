from collections import Counter

import hypothesis.strategies as st
from hypothesis import given

from routing.strategies import Rotation

NAMES = "abcdef"
WEIGHTS = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


def firsts(rotation: Rotation, count: int, out: str = "") -> str:
    return "".join(rotation.order(lambda name: name not in out)[0] for _ in range(count))


@given(WEIGHTS, st.integers(0, 40))
def test_any_window_of_the_weights_sum_is_exact(weights, skipped):
    names = NAMES[: len(weights)]
    rotation = Rotation(names, weights)
    firsts(rotation, skipped)
    expected = {name: weight for name, weight in zip(names, weights, strict=True) if weight}
    assert Counter(firsts(rotation, sum(weights))) == expected


@given(WEIGHTS, st.lists(st.sets(st.sampled_from(NAMES)), max_size=60))
def test_those_that_are_there_share_exactly_whoever_comes_and_goes(weights, absences):
    """Requests with the same ones out, wherever they lie among others: any window of them is exact."""
    names = NAMES[: len(weights)]
    rotation, seen = Rotation(names, weights), {}
    for out in absences:
        out = out & set(names)
        if len(out) < len(names):
            seen.setdefault(frozenset(out), []).append(firsts(rotation, 1, out))
    for out, chosen in seen.items():
        share = {name: weight for name, weight in zip(names, weights, strict=True) if name not in out and weight}
        total = sum(share.values())
        for begin in range(len(chosen) - total + 1):
            if total:
                assert Counter(chosen[begin : begin + total]) == share


@given(WEIGHTS, st.sets(st.sampled_from(NAMES)))
def test_every_provider_comes_once_and_those_that_are_out_come_last(weights, out):
    names = NAMES[: len(weights)]
    order = Rotation(names, weights).order(lambda name: name not in out)
    assert sorted(order) == sorted(names)
    there = [name in out for name in order]
    assert there == sorted(there)


def test_the_heavy_one_does_not_come_in_one_block():
    assert firsts(Rotation("abc", (5, 1, 1)), 7) == "aabacaa"


def test_equal_weights_go_round():
    rotation = Rotation("abc", (1, 1, 1))
    orders = ["".join(rotation.order(lambda name: True)) for _ in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


def test_the_others_follow_by_weight():
    assert Rotation("abc", (1, 9, 5)).order(lambda name: True) == ("b", "c", "a")


def test_with_all_out_they_come_as_listed_and_no_turn_is_taken():
    rotation = Rotation("abc", (1, 5, 1))
    assert rotation.order(lambda name: False) == ("a", "b", "c")
    assert firsts(rotation, 7) == firsts(Rotation("abc", (1, 5, 1)), 7)


def test_a_look_takes_no_turn():
    rotation = Rotation("ab", (1, 1))
    assert {rotation.order(lambda name: True, peek=True) for _ in range(5)} == {("a", "b")}


def test_its_memory_is_bounded():
    names = [str(i) for i in range(10)]
    rotation = Rotation(names, [1] * 10)
    for mask in range(1, 1024):
        rotation.order(lambda name, mask=mask: bool(mask >> int(name) & 1))
    assert len(rotation._states) <= 64
