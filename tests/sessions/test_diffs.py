"""What edits changed, line by line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sessions.browser.diffs import ADDED, REMOVED, SAME, SKIPPED, Line, diff, edits_of

TEXTS = st.lists(st.sampled_from(["a", "b", "c = 1", "c = 2", "", "  x"]), max_size=12).map("\n".join)


def whole(line: Line) -> str:
    return line.before + line.changed + line.after


@given(TEXTS, TEXTS)
def test_a_diff_holds_both_texts(old, new):
    lines = diff(old, new, context=1000)
    assert [
        whole(line) for line in lines if line.kind in (SAME, REMOVED)
    ] == old.splitlines() or old.splitlines() == new.splitlines()
    assert [
        whole(line) for line in lines if line.kind in (SAME, ADDED)
    ] == new.splitlines() or old.splitlines() == new.splitlines()


def test_what_did_not_change_is_folded():
    lines = diff("\n".join("abcdefghijk"), "\n".join("abcdefghijK"))
    assert [line.kind for line in lines] == [SKIPPED, SAME, SAME, SAME, REMOVED, ADDED]
    assert lines[0].before == "7 unchanged lines"


def test_a_changed_line_says_what_of_it_changed():
    removed, added = diff("timeout = 10", "timeout = 25")
    assert (removed.before, removed.changed) == ("timeout = ", "10")
    assert (added.before, added.changed) == ("timeout = ", "25")


def test_large_texts_do_not_take_forever():
    old = "\n".join(f"old {number}" for number in range(5000))
    new = "\n".join(f"new {number}" for number in range(5000))
    assert len(diff(old, new)) == 10_000


def test_edits_of_the_clients_are_understood():
    calls = [
        {"file_path": "/a.py", "old_string": "x", "new_string": "y"},
        {"filePath": "/a.py", "oldString": "x", "newString": "y"},
        {"command": "str_replace", "path": "/a.py", "old_str": "x", "new_str": "y"},
        {"file_path": "/a.py", "edits": [{"old_string": "x", "new_string": "y"}]},
        {"input": "*** Begin Patch\n*** Update File: /a.py\n@@\n-x\n+y\n*** End Patch"},
        {"command": ["apply_patch", "*** Begin Patch\n*** Update File: /a.py\n-x\n+y\n*** End Patch"]},
    ]
    for call in calls:
        (edit,) = edits_of(json.dumps(call))
        assert (edit.path, edit.added, edit.removed) == ("/a.py", 1, 1), call
    (written,) = edits_of(json.dumps({"file_path": "/new.py", "content": "a\nb\n"}))
    assert (written.added, written.removed) == (2, 0)


def test_a_patch_may_stand_alone_and_touch_files():
    text = "*** Begin Patch\n*** Add File: a\n+1\n*** Delete File: b\n*** Update File: c\n@@ def f\n 0\n-1\n+2\n*** End Patch"
    assert [(edit.path, edit.added, edit.removed) for edit in edits_of(text)] == [("a", 1, 0), ("b", 0, 0), ("c", 1, 1)]


def test_other_calls_are_no_edits():
    for arguments in ("", "{}", "[]", "null", '{"path": 1}', '{"file_path": "/a"}', "broken {", '{"command": "ls"}'):
        assert edits_of(arguments) == []


@given(st.recursive(st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_odd_arguments_do_no_harm(value):
    for name in ("edits", "old_string", "content", "command", "input"):
        edits_of(json.dumps({"file_path": "/a", name: value}))
