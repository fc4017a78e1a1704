"""The order that every vendor insists on: after a message with calls, the result of each of them, and no other result.

Dialects differ in how they hold to it (Responses has calls and results as items of their own, Chat a message for each
result), and what clients send holds to it less than it should.
"""

from collections import deque

from routing.translation.requests.form import Call, Form, Result, Text, Turn

_NO_RESULT = "(no result)"


def arrange(form: Form) -> None:
    """Put the conversation in order: consecutive turns of the assistant are one, and results follow their calls.

    A call without a result gets one that says so, a result without a call is left out, and of calls that share an id all
    but the first get another.
    """
    turns = _merged(form.turns)
    results: dict[str, deque[Result]] = {}
    for turn in turns:
        if turn.role == "user":
            for part in turn.parts:
                if isinstance(part, Result):
                    results.setdefault(part.id, deque()).append(part)
    if not results and not any(isinstance(part, Call) for turn in turns for part in turn.parts):
        form.turns = turns
        return
    form.turns = _ordered(form, turns, results)
    if any(results.values()):
        form.note("messages", "results of calls that are not in the conversation were left out")


def _merged(turns: list[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for turn in turns:
        if merged and turn.role == "assistant" == merged[-1].role:
            merged[-1].parts.extend(turn.parts)
        elif turn.parts:
            merged.append(Turn(turn.role, [*turn.parts]))
    return merged


def _ordered(form: Form, turns: list[Turn], results: dict[str, deque[Result]]) -> list[Turn]:
    ordered: list[Turn] = []
    taken: set[str] = set()
    for turn in turns:
        if turn.role != "assistant":
            parts = [part for part in turn.parts if not isinstance(part, Result)]
            if parts:
                ordered.append(Turn(turn.role, parts))
            continue
        ordered.append(turn)
        calls = [part for part in turn.parts if isinstance(part, Call)]
        if calls:
            ordered.append(Turn("user", [_result_of(form, call, results, taken) for call in calls]))
    return ordered


def _result_of(form: Form, call: Call, results: dict[str, deque[Result]], taken: set[str]) -> Result:
    found = results.get(call.id)
    if found:
        result = found.popleft()
    else:
        result = Result(call.id, [Text(_NO_RESULT)], is_error=True)
        form.note("messages", "calls without a result got an empty one")
    if call.id in taken:
        # The number makes it unlike those before it, the same in each request of the conversation.
        call.id = f"{call.id}_{len(taken)}"
    taken.add(call.id)
    result.id = call.id
    return result
