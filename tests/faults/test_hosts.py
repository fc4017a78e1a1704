"""Two hosts on one PostgreSQL and one Redis whose processes are killed (bench/hosts.py, a short run of it)."""

from bench.hosts import bench_hosts


def test_nothing_is_lost_doubled_mixed_up_or_shown_to_another_user():
    assert bench_hosts(minutes=0.2, every=2, rate=12, seed=7)
