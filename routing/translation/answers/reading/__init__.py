"""Readers: a provider's answer, in JSON or as a stream, becomes events."""

from typing import Any

from routing.translation.answers.reading import chat, messages, responses
from routing.translation.context import CHAT, MESSAGES, RESPONSES

READERS: dict[str, Any] = {MESSAGES: messages.Reader, CHAT: chat.Reader, RESPONSES: responses.Reader}
