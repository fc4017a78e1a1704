"""One conversation in each dialect, by the vendors' own SDKs, told in one shape."""

import json
from dataclasses import dataclass, field

import anthropic
import openai

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ENDS = ("response.completed", "response.incomplete", "response.failed")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass
class Said:
    """What a model said: its text, its tool calls as (id, name, arguments), why it ended, and tokens (in, cached, out)."""

    text: str
    calls: list[tuple[str, str, dict]] = field(default_factory=list)
    stop: str = ""
    tokens: tuple[int, int, int] = (0, 0, 0)
    thinking: str = ""
    refusal: str = ""


class Anthropic:
    """Messages."""

    dialect = "anthropic"

    def __init__(self, url: str) -> None:
        self.client = anthropic.Anthropic(base_url=url, api_key="sk-ant-of-the-client", max_retries=0)
        self.messages: list = []

    def say(self, text: str, stream: bool = False, image: str = "", tools: bool = False, **more) -> Said:
        """Say something in the conversation."""
        content: list = [{"type": "text", "text": text}]
        if image:
            source = {"type": "base64", "media_type": "image/png", "data": image}
            content.insert(0, {"type": "image", "source": source})
        self.messages.append({"role": "user", "content": content})
        return self._ask(stream, tools, more)

    def result(self, results: dict[str, str], stream: bool = False) -> Said:
        """Give tools' results by call id."""
        self.messages.append(
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": text} for id, text in results.items()
                ],
            }
        )
        return self._ask(stream, True, {})

    def _ask(self, stream: bool, tools: bool, more: dict) -> Said:
        options = {"model": "claude-sonnet-4-5", "max_tokens": 4000, "system": "Be brief.", **more}
        if tools:
            tool = {"name": "weather", "description": "Tell the weather", "input_schema": WEATHER}
            options["tools"] = [tool, {**tool, "name": "time"}]
        if stream:
            with self.client.messages.stream(messages=self.messages, **options) as events:
                message = events.get_final_message()
        else:
            message = self.client.messages.create(messages=self.messages, **options)
        self.messages.append(
            {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in message.content]}
        )
        usage = message.usage
        cached = usage.cache_read_input_tokens or 0
        return Said(
            "".join(b.text for b in message.content if b.type == "text"),
            [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"],
            {"end_turn": "stop", "max_tokens": "length", "tool_use": "tools", "refusal": "refusal"}.get(
                message.stop_reason, message.stop_reason
            ),
            (usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0), cached, usage.output_tokens),
            "".join(b.thinking for b in message.content if b.type == "thinking"),
        )


class Chat:
    """Chat Completions."""

    dialect = "openai-chat"

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-of-the-client", max_retries=0)
        self.messages: list = [{"role": "system", "content": "Be brief."}]

    def say(self, text: str, stream: bool = False, image: str = "", tools: bool = False, **more) -> Said:
        """Say something in the conversation."""
        content: list = [{"type": "text", "text": text}]
        if image:
            content.insert(0, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        self.messages.append({"role": "user", "content": content})
        return self._ask(stream, tools, more)

    def result(self, results: dict[str, str], stream: bool = False) -> Said:
        """Give tools' results by call id."""
        self.messages += [{"role": "tool", "tool_call_id": id, "content": text} for id, text in results.items()]
        return self._ask(stream, True, {})

    def _ask(self, stream: bool, tools: bool, more: dict) -> Said:
        options = {"model": "gpt-4.1", "max_completion_tokens": 4000, **more}
        if tools:
            function = {"name": "weather", "description": "Tell the weather", "parameters": WEATHER}
            options["tools"] = [{"type": "function", "function": {**function, "name": n}} for n in ("weather", "time")]
        if stream:
            usage = {"stream_options": {"include_usage": True}}
            with self.client.chat.completions.stream(messages=self.messages, **usage, **options) as events:
                try:
                    completion = events.get_final_completion()
                except openai.LengthFinishReasonError as cut:
                    completion = cut.completion
        else:
            completion = self.client.chat.completions.create(messages=self.messages, **options)
        (choice,) = completion.choices
        message = choice.message
        kept = {"role": "assistant", "content": message.content}
        calls = message.tool_calls or []
        if calls:
            kept["tool_calls"] = [
                {
                    "id": c.id,
                    "type": "function",
                    "function": {"name": c.function.name, "arguments": c.function.arguments},
                }
                for c in calls
            ]
        self.messages.append(kept)
        usage = completion.usage
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        return Said(
            message.content or "",
            [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls],
            {"tool_calls": "tools", "content_filter": "refusal"}.get(choice.finish_reason, choice.finish_reason),
            (usage.prompt_tokens, cached or 0, usage.completion_tokens),
            getattr(message, "reasoning_content", None) or "",
            message.refusal or "",
        )


class Responses:
    """Responses."""

    dialect = "openai-responses"

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-of-the-client", max_retries=0)
        self.input: list = []

    def say(self, text: str, stream: bool = False, image: str = "", tools: bool = False, **more) -> Said:
        """Say something in the conversation."""
        content: list = [{"type": "input_text", "text": text}]
        if image:
            content.insert(0, {"type": "input_image", "image_url": f"data:image/png;base64,{image}", "detail": "auto"})
        self.input.append({"type": "message", "role": "user", "content": content})
        return self._ask(stream, tools, more)

    def result(self, results: dict[str, str], stream: bool = False) -> Said:
        """Give tools' results by call id."""
        self.input += [{"type": "function_call_output", "call_id": id, "output": text} for id, text in results.items()]
        return self._ask(stream, True, {})

    def _ask(self, stream: bool, tools: bool, more: dict) -> Said:
        options = {"model": "gpt-4.1", "max_output_tokens": 4000, "instructions": "Be brief.", "store": False, **more}
        if tools:
            tool = {"type": "function", "description": "Tell the weather", "parameters": WEATHER, "strict": False}
            options["tools"] = [{**tool, "name": name} for name in ("weather", "time")]
        if stream:
            with self.client.responses.stream(input=self.input, **options) as events:
                response = [event.response for event in events if event.type in ENDS][-1]
        else:
            response = self.client.responses.create(input=self.input, **options)
        self.input += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        reason = response.incomplete_details.reason if response.incomplete_details else ""
        stop = {"max_output_tokens": "length", "content_filter": "refusal"}.get(reason) or (
            "tools" if calls else "stop"
        )
        usage = response.usage
        thinking = [
            part.text
            for item in response.output
            if item.type == "reasoning"
            for part in (*item.summary, *(item.content or ()))
        ]
        return Said(
            response.output_text,
            [(c.call_id, c.name, json.loads(c.arguments)) for c in calls],
            stop,
            (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens),
            "".join(thinking),
            "".join(
                part.refusal
                for item in response.output
                if item.type == "message"
                for part in item.content
                if part.type == "refusal"
            ),
        )


SPEAKERS = {speaker.dialect: speaker for speaker in (Anthropic, Chat, Responses)}
