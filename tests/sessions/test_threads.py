"""The tree of a session: what continues what, and what it is called."""

from sessions.browser.threads import Place, threads_of


def shapes(*places: Place) -> list[tuple[str, list[int]]]:
    return [(thread.kind, thread.exchanges) for thread in threads_of(places)]


def turn(pk: int, parent: int | None = None, system: bytes = b"main", tools: int = 9) -> Place:
    return Place(pk, parent, "model", tools, system)


def test_a_conversation_is_one_thread():
    assert shapes(turn(1), turn(2, 1), turn(3, 2)) == [("main", [1, 2, 3])]


def test_a_sub_agent_is_a_branch_where_it_began():
    threads = threads_of([turn(1), turn(2, 1), turn(3, None, b"agent"), turn(4, 3, b"agent"), turn(5, 2)])
    assert [(t.kind, t.exchanges, t.origin) for t in threads] == [("main", [1, 2, 5], None), ("agent", [3, 4], 2)]
    assert threads[1].name == "Sub-agent 1"


def test_an_errand_without_tools_is_told_apart():
    assert shapes(turn(1, tools=0, system=b"title"), turn(2), turn(3, 2)) == [("errand", [1]), ("main", [2, 3])]


def test_a_compacted_conversation_continues():
    assert shapes(turn(1), turn(2, 1), turn(3, 2), turn(4), turn(5, 4)) == [("main", [1, 2, 3]), ("continued", [4, 5])]


def test_going_back_is_a_fork():
    threads = threads_of([turn(1), turn(2, 1), turn(3, 2), turn(4, 1), turn(5, 4)])
    assert [(t.kind, t.exchanges, t.origin) for t in threads] == [("main", [1, 2, 3], None), ("fork", [4, 5], 1)]


def test_what_is_no_model_call_stands_beside():
    assert shapes(turn(1), Place(2, 1, "count_tokens"), turn(3, 1)) == [("main", [1, 3]), ("side", [2])]


def test_nothing_is_nothing():
    assert threads_of([]) == []
