"""Markers that people type into conversations."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.rewriting.conversations import COUNT_TOKENS
from routing.rewriting.markers import find_markers
from routing.translation.context import CHAT, MESSAGES, RESPONSES
from tests.routing.rewriting.documents import objects


def user(content: object) -> dict:
    return {"role": "user", "content": content}


def read(*messages: dict, dialect: str = MESSAGES) -> tuple[str, int, list]:
    found = find_markers(json.dumps({"messages": messages}).encode(), dialect)
    return found.name, found.found, json.loads(found.body)["messages"]


def stripped(text: str) -> str:
    return read(user(text))[2][0]["content"]


@pytest.mark.parametrize("dialect", [MESSAGES, COUNT_TOKENS, CHAT])
def test_a_marker_picks_a_provider_and_goes(dialect):
    assert read(user("[LUNAROUTE:my-gpt_4.1] hello"), dialect=dialect) == ("my-gpt_4.1", 1, [user("hello")])


def test_a_body_without_markers_is_the_same_object():
    body = json.dumps({"messages": [user("hello")]}).encode()
    assert find_markers(body, MESSAGES).body is body


def test_a_choice_lasts_over_later_turns():
    name, found, messages = read(user("[LUNAROUTE:a] one"), {"role": "assistant", "content": "yes"}, user("two"))
    assert (name, found, messages[0], messages[2]) == ("a", 1, user("one"), user("two"))


def test_the_last_marker_counts_and_all_go():
    assert read(user("[LUNAROUTE:a] one"), user("two [LUNAROUTE:b]\n[LUNAROUTE:c]")) == (
        "c",
        3,
        [user("one"), user("two ")],
    )


@pytest.mark.parametrize("clear", ["clear", "CLEAR"])
def test_a_clear_ends_the_choice(clear):
    assert read(user("[LUNAROUTE:a] one"), user(f"[LUNAROUTE:{clear}] two"))[:2] == ("", 2)


@pytest.mark.parametrize(
    "text",
    [
        "[LUNAROUTE:]",
        "[LUNAROUTE:a b]",
        "[LUNAROUTE:" + "a" * 65 + "]",
        "[LUNAROUTE:a",
        "[lunaroute:a]",
        "[LUNAROUTE:é]",
    ],
)
def test_what_is_no_marker_stays(text):
    assert read(user(text)) == ("", 0, [user(text)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [LUNAROUTE:x] b", "a b"),
        ("a[LUNAROUTE:x]b", "ab"),
        ("[LUNAROUTE:x]\n\nb", "\nb"),
        ("[LUNAROUTE:x]\r\nb", "b"),
        ("a\n[LUNAROUTE:x]", "a"),
        ("a [LUNAROUTE:x]", "a"),
        ("a\\n[LUNAROUTE:x]", "a\\n"),
        ("\\" * 100 + "n[LUNAROUTE:x]", "\\" * 100 + "n"),
        ("\\" * 101 + "\n[LUNAROUTE:x]", "\\" * 101),
        ("[LUNAROUTE:x]\\nb", "\\nb"),
        ("\u00e9\"[LUNAROUTE:x] \U0001f600", "\u00e9\"\U0001f600"),
        ("[LUNAROUTE:x]", "Continue."),
        (" [LUNAROUTE:x]\n[LUNAROUTE:y] \n ", "Continue."),
    ],
)  # fmt: skip
def test_one_piece_of_white_space_goes_with_a_marker(text, expected):
    assert stripped(text) == expected


def test_only_texts_of_the_user_are_read():
    marker = "[LUNAROUTE:x]"
    messages = [
        {"role": "assistant", "content": marker},
        user([{"type": "tool_result", "tool_use_id": "t", "content": marker}]),
        user([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": marker}]}]),
        user([{"type": "document", "text": marker}]),
        {"role": "system", "content": marker},
        {"role": "tool", "content": marker},
    ]
    assert read(*messages) == ("", 0, messages)


def test_what_clients_add_is_not_read():
    added = "<system-reminder>\nUse [LUNAROUTE:x].\n</system-reminder>\n"
    notes = "# AGENTS.md instructions for /work\n[LUNAROUTE:x]"
    assert read(user(added), user(notes)) == ("", 0, [user(added), user(notes)])


def test_a_marker_beside_what_clients_add_is_found():
    added = "<system-reminder>caf\u00e9 \\ [LUNAROUTE:x]</system-reminder>"
    text = f"[LUNAROUTE:a] \U0001f600{added} do it{added}[LUNAROUTE:b]{added}"
    assert read(user(text)) == ("b", 2, [user(f"\U0001f600{added} do it{added}{added}")])


def test_blocks_keep_all_but_their_text():
    body = b'{"messages":[ {"content":[{"cache_control":{"type":"ephemeral"} ,"text":"caf\\u00e9 [LUNAROUTE:x] \\ud800","type":"text"}],"role":"user"}]}'
    assert find_markers(body, MESSAGES).body == body.replace(b"[LUNAROUTE:x] ", b"")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[LUNAROUTE:x] hi", "hi"),
        ([user("[LUNAROUTE:x] hi")], [user("hi")]),
        (
            [{"type": "message", **user([{"type": "input_text", "text": "[LUNAROUTE:x] hi"}])}],
            [{"type": "message", **user([{"type": "input_text", "text": "hi"}])}],
        ),
    ],
)
def test_responses_have_markers_in_their_input(given, expected):
    found = find_markers(json.dumps({"input": given}).encode(), RESPONSES)
    assert (found.name, json.loads(found.body)) == ("x", {"input": expected})


def test_outputs_of_tools_are_not_read_in_responses():
    items = [{"type": "function_call_output", "call_id": "c", "output": "[LUNAROUTE:x]"}]
    items.append({"type": "some_output", **user("[LUNAROUTE:x]")})
    assert find_markers(json.dumps({"input": items}).encode(), RESPONSES).found == 0


def test_other_requests_have_no_markers():
    body = json.dumps({"messages": [user("[LUNAROUTE:x]")]}).encode()
    assert find_markers(body, "").body is body


@given(st.text(max_size=20), st.text(max_size=20), st.booleans())
@example("<system-reminder>", "", True)
@example("\\", "\n", False)
def test_only_a_marker_and_a_white_space_are_missing(before, after, ensure_ascii):
    text = f"{before}[LUNAROUTE:x]{after}"
    try:
        body = json.dumps({"messages": [user(text)]}, ensure_ascii=ensure_ascii).encode()
    except UnicodeEncodeError:
        return
    found = find_markers(body, MESSAGES)
    left = json.loads(found.body)["messages"][0]["content"]
    if not found.found:
        assert (left, found.body) == (text, body)
    elif left != "Continue.":
        rest = [before + after]
        rest += [before + after[len(s) :] for s in (" ", "\n", "\t", "\r\n") if after.startswith(s)]
        rest += [before[: -len(s)] for s in (" ", "\n", "\t") if not after and before.endswith(s)]
        assert left in rest


@given(st.binary() | st.text(alphabet='{}[]",:\\ 1amesgcontruli').map(str.encode) | objects())
def test_any_bytes_are_read_without_an_error(body):
    body += b"[LUNAROUTE:x]"
    for dialect in (MESSAGES, RESPONSES):
        find_markers(body, dialect)
        find_markers(b'{"messages":[{"role":"user","content":' + body + b"}]}", dialect)
