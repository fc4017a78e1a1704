"""Who tells a model that it has taken over, and when."""

import json

from routing.rewriting import notifications
from routing.rewriting.notifications import Notices, notification, with_notification
from routing.translation.context import MESSAGES


def test_a_notification_is_the_first_message():
    body = with_notification(b'{"messages":[{"role":"user","content":"hi"}]}', MESSAGES, "new")
    assert [message["content"] for message in json.loads(body)["messages"]] == ["new", "hi"]


def test_its_text_names_both_providers_the_reason_and_the_model():
    template = "${original_provider}>${new_provider}: ${reason} (${model})"
    assert notification(template, "a", "b", "rate_limited", "${reason}") == "a>b: rate_limited (${reason})"


def test_a_session_that_the_usual_provider_serves_has_none():
    assert Notices().due("s", "usual", "usual") == ""


def test_another_provider_takes_over_from_the_usual_one_once():
    notices = Notices()
    assert notices.due("s", "other", "usual") == "usual"
    notices.served("s", "other")
    assert notices.due("s", "other", "usual") == ""


def test_the_way_back_is_a_change_too():
    notices = Notices()
    notices.served("s", "other")
    assert notices.due("s", "usual", "usual") == "other"


def test_a_provider_that_was_asked_and_failed_took_nothing_over():
    notices = Notices()
    notices.served("s", "a")
    assert notices.due("s", "b", "a") == "a"
    assert notices.due("s", "c", "a") == "a"


def test_a_request_without_a_session_has_none():
    notices = Notices()
    notices.served("", "a")
    assert notices.due("", "b", "a") == ""


def test_only_the_latest_sessions_are_remembered(monkeypatch):
    monkeypatch.setattr(notifications, "MAX_SESSIONS", 2)
    notices = Notices()
    for session in ("one", "two", "one", "three"):
        notices.served(session, "other")
    assert [notices.due(s, "other", "usual") for s in ("one", "two", "three")] == ["", "usual", ""]
