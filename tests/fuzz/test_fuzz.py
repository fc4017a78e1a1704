"""Malformed input of all kinds (bench/fuzz.py, the first of its requests): no 500, no traceback, nothing that hangs or dies."""

from bench.fuzz import fuzz


def test_nothing_that_comes_from_outside_makes_it_fail():
    assert fuzz(count=1000, seed=20)
