"""What differs between two requests."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sessions.browser.compare import ADDED, CHANGED, MOVED, REMOVED, compare


def body(**members) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def message(text: str, role: str = "user") -> dict:
    return {"role": role, "content": text}


def found(old: bytes, new: bytes, title: str, dialect: str = "anthropic") -> list[tuple[str, str]]:
    (part,) = [part for part in compare(old, new, dialect).parts if part.title == title]
    return [(change.kind, change.name) for change in part.changes]


def test_equal_requests_have_no_difference():
    assert compare(body(messages=[message("a")]), body(messages=[message("a")]), "anthropic").is_equal


def test_an_added_turn_is_all_that_is_new():
    old = [message("question")]
    new = [*old, message("answer", "assistant"), message("more")]
    assert found(body(messages=old), body(messages=new), "Messages") == [(ADDED, "assistant 2"), (ADDED, "user 3")]


def test_a_changed_message_is_one_change():
    old, new = [message("please fix the bug in a.py")], [message("please fix the bug in b.py")]
    assert found(body(messages=old), body(messages=new), "Messages") == [(CHANGED, "user 1")]


def test_a_message_that_moved_says_where_to():
    a, b, c = message("first thing"), message("second matter"), message("third topic")
    comparison = compare(body(messages=[a, b, c]), body(messages=[b, c, a]), "anthropic")
    (change,) = comparison.parts[2].changes
    assert (change.kind, change.name, change.note) == (MOVED, "user 1", "now 3")


def test_tools_are_compared_by_name():
    tool = {"name": "Read", "description": "reads"}
    old = body(tools=[tool, {"name": "Bash", "description": "runs"}])
    new = body(tools=[{**tool, "description": "reads files"}, {"name": "Edit", "description": "edits"}])
    assert found(old, new, "Tools") == [(CHANGED, "Read"), (REMOVED, "Bash"), (ADDED, "Edit")]


def test_tools_of_chat_completions_have_their_name_inside():
    old, new = body(tools=[{"type": "function", "function": {"name": "f"}}]), body(tools=[])
    assert found(old, new, "Tools", "openai-chat") == [(REMOVED, "f")]


def test_the_system_prompt_and_parameters_are_compared():
    old, new = body(system="be brief", temperature=0), body(system=[{"type": "text", "text": "be long"}], top_k=1)
    assert found(old, new, "System prompt") == [(CHANGED, "system prompt")]
    assert found(old, new, "Parameters") == [(REMOVED, "temperature"), (ADDED, "top_k")]


def test_cache_marks_are_parameters_and_no_changes_of_messages():
    marked = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}
    old, new = body(messages=[marked]), body(messages=[message("a")])
    assert found(old, new, "Messages") == []
    assert found(old, new, "Parameters") == [(REMOVED, "cache_control")]


def test_what_is_no_json_is_compared_line_by_line():
    assert found(b"a\nb", b"a\nc", "Body") == [(CHANGED, "body")]
    assert compare(b"\xff", b"\xff", "").is_equal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.fixed_dictionaries({}, optional=dict.fromkeys(("messages", "tools", "system", "input", "model"), JSON))


@given(MEMBERS, MEMBERS, st.sampled_from(["anthropic", "openai-chat", "openai-responses", ""]))
def test_odd_requests_are_compared_too(old, new, dialect):
    compare(json.dumps(old).encode(), json.dumps(new).encode(), dialect)
