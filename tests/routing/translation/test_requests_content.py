"""What is said: system prompts, texts, pictures, files, in each dialect from each other."""

import base64

import pytest

from routing.translation.context import CHAT, MESSAGES, RESPONSES, Untranslatable
from tests.routing.translation.asking import DIRECTIONS, ask, chat, messages, plain, responses, user

PNG = "iVBORw0KGgo="
IN_CHAT = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
IN_RESPONSES = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"}
IN_MESSAGES = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
HI = user("hi")


def test_a_system_prompt_of_blocks_becomes_one_message_or_instructions():
    body = messages(HI, system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    assert ask(MESSAGES, CHAT, body)[0]["messages"][0] == {"role": "system", "content": "a\n\nb"}
    assert ask(MESSAGES, RESPONSES, body)[0]["instructions"] == "a\n\nb"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_messages_in_front_become_anthropics_system_prompt(role):
    told, _ = ask(CHAT, MESSAGES, chat({"role": role, "content": "a"}, HI))
    assert [block["text"] for block in told["system"]] == ["a"]
    told, _ = ask(RESPONSES, MESSAGES, responses({"role": role, "content": "b"}, HI, instructions="a"))
    assert [block["text"] for block in told["system"]] == ["a", "b"]


def test_a_system_message_amid_the_conversation_stays_in_its_place():
    body = chat(HI, {"role": "assistant", "content": "ho"}, {"role": "developer", "content": "be brief"}, user("go"))
    told, _ = ask(CHAT, MESSAGES, body)
    assert [block["text"] for block in plain(told["messages"][2])] == ["<system>\nbe brief\n</system>", "go"]
    told, _ = ask(CHAT, RESPONSES, body)
    assert [item["role"] for item in told["input"]] == ["user", "assistant", "developer", "user"]


def test_a_picture_keeps_its_data_and_detail():
    told, _ = ask(CHAT, RESPONSES, chat(user([IN_CHAT])))
    assert told["input"][0]["content"] == [IN_RESPONSES]
    told, _ = ask(RESPONSES, CHAT, responses(user([IN_RESPONSES])))
    assert told["messages"][0]["content"] == [IN_CHAT]
    for client, body in ((CHAT, chat(user([IN_CHAT]))), (RESPONSES, responses(user([IN_RESPONSES])))):
        told, _ = ask(client, MESSAGES, body)
        assert plain(told["messages"][0]) == [IN_MESSAGES]


def test_a_picture_by_its_address_stays_one():
    source = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    told, _ = ask(MESSAGES, CHAT, messages(user([source])))
    assert told["messages"][0]["content"][0]["image_url"]["url"] == "https://x/y.png"
    told, _ = ask(CHAT, MESSAGES, chat(user([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])))
    assert plain(told["messages"][0]) == [source]


@pytest.mark.parametrize("url", ["data:image/svg+xml,%3Csvg/%3E", "data:image/bmp;base64,AAAA", "data:;base64,AAAA"])
def test_a_picture_that_anthropic_does_not_know_is_refused(url):
    with pytest.raises(Untranslatable, match="picture"):
        ask(CHAT, MESSAGES, chat(user([{"type": "image_url", "image_url": {"url": url}}])))


def test_parameters_of_a_pictures_type_are_left_out():
    url = f"data:image/png;charset=utf-8;base64,{PNG}"
    told, _ = ask(CHAT, MESSAGES, chat(user([{"type": "image_url", "image_url": {"url": url}}])))
    assert plain(told["messages"][0]) == [IN_MESSAGES]


def test_pictures_of_a_tools_result_follow_it_in_chat_and_stay_in_it_elsewhere():
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "here"}, IN_MESSAGES]}
    body = messages(HI, {"role": "assistant", "content": [call]}, user([result, {"type": "text", "text": "and?"}]))
    told, notes = ask(MESSAGES, CHAT, body)
    tool, after, last = told["messages"][-3:]
    assert tool == {"role": "tool", "tool_call_id": "t1", "content": "here"}
    assert after["content"][0]["image_url"]["url"].endswith(PNG)
    assert last == {"role": "user", "content": "and?"}
    assert "pictures" in notes
    told, _ = ask(MESSAGES, RESPONSES, body)
    assert [part["type"] for part in told["input"][2]["output"]] == ["input_text", "input_image"]


def test_a_pdf_is_a_document_a_file_and_an_input_file():
    document = {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
    }
    data = "data:application/pdf;base64,JVBE"
    told, _ = ask(MESSAGES, CHAT, messages(user([document])))
    assert told["messages"][0]["content"] == [{"type": "file", "file": {"filename": "a.pdf", "file_data": data}}]
    told, _ = ask(CHAT, RESPONSES, chat(user(told["messages"][0]["content"])))
    assert told["input"][0]["content"] == [{"type": "input_file", "filename": "a.pdf", "file_data": data}]
    told, _ = ask(RESPONSES, MESSAGES, responses(user(told["input"][0]["content"])))
    assert plain(told["messages"][0]) == [document]


def test_a_file_of_text_is_read_for_anthropic():
    data = "data:text/csv;base64," + base64.b64encode("a;ü".encode()).decode()
    told, _ = ask(
        RESPONSES, MESSAGES, responses(user([{"type": "input_file", "filename": "a.csv", "file_data": data}]))
    )
    assert plain(told["messages"][0])[0]["source"] == {"type": "text", "media_type": "text/plain", "data": "a;ü"}


@pytest.mark.parametrize("data", ["data:application/zip;base64,AAAA", "data:text/plain;base64,?"])
def test_a_file_that_anthropic_cannot_read_is_refused(data):
    with pytest.raises(Untranslatable, match="file"):
        ask(RESPONSES, MESSAGES, responses(user([{"type": "input_file", "filename": "a", "file_data": data}])))


def test_a_document_of_text_is_text_for_openai():
    source = {"type": "text", "media_type": "text/plain", "data": "the text"}
    body = messages(user([{"type": "document", "title": "T", "source": source}]))
    assert ask(MESSAGES, CHAT, body)[0]["messages"][0]["content"] == [{"type": "text", "text": "T\n\nthe text"}]
    told, _ = ask(MESSAGES, RESPONSES, body)
    assert told["input"][0]["content"] == [{"type": "input_text", "text": "T\n\nthe text"}]


@pytest.mark.parametrize(
    ("client", "body"),
    [
        (CHAT, chat(user([{"type": "file", "file": {"file_id": "f"}}]))),
        (RESPONSES, responses(user([{"type": "input_file", "file_id": "f"}]))),
        (RESPONSES, responses(user([{"type": "input_image", "file_id": "f", "detail": "auto"}]))),
        (CHAT, chat(user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]))),
    ],
)
def test_what_only_openai_can_read_is_refused(client, body):
    with pytest.raises(Untranslatable) as refused:
        ask(client, MESSAGES, body)
    assert "content[0]" in refused.value.field


def test_empty_texts_are_left_out_for_anthropic():
    told, _ = ask(CHAT, MESSAGES, chat(user([{"type": "text", "text": " "}, {"type": "text", "text": "a"}])))
    assert plain(told["messages"][0]) == [{"type": "text", "text": "a"}]


def test_a_refusal_in_the_history_is_text():
    body = chat(HI, {"role": "assistant", "refusal": "no", "content": None}, HI)
    assert plain(ask(CHAT, MESSAGES, body)[0]["messages"][1]) == [{"type": "text", "text": "no"}]


def test_input_may_be_a_text_alone():
    assert ask(RESPONSES, CHAT, {"model": "m", "input": "hi"})[0]["messages"] == [HI]


def test_search_results_are_told_as_text():
    block = {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "found"}]}
    told, _ = ask(MESSAGES, CHAT, messages(user([block])))
    assert "T\ns\nfound" in str(told["messages"][0]["content"]).replace("\\n", "\n")


def test_blocks_of_anthropics_own_tools_are_left_out_and_noted():
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    told, notes = ask(
        MESSAGES, CHAT, messages(HI, {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]}, HI)
    )
    assert told["messages"][1]["content"] == "a"
    assert "server_tool_use" in notes


@pytest.mark.parametrize(("client", "provider"), DIRECTIONS)
def test_someone_unknown_is_taken_for_the_user_and_noted(client, provider):
    build = {MESSAGES: messages, CHAT: chat, RESPONSES: responses}[client]
    _, notes = ask(client, provider, build(user("hi"), {"role": "critic", "content": "no"}))
    assert "[1].role: critic" in notes
    assert not ask(client, provider, build(user("hi")))[1]
