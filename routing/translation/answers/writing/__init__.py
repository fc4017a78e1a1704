"""Writers: events become an answer for the client, in JSON or as a stream."""

from typing import Any

from routing.translation.answers.writing import chat, messages, responses
from routing.translation.context import CHAT, MESSAGES, RESPONSES

WRITERS: dict[str, Any] = {MESSAGES: messages.Writer, CHAT: chat.Writer, RESPONSES: responses.Writer}
