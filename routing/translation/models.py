"""Lists of models, and single ones, in the shape of the other vendor.

https://docs.anthropic.com/en/api/models-list, https://platform.openai.com/docs/api-reference/models.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


def translate_models(client_vendor: str, body: bytes) -> bytes:
    """Give a list of models (or one) as `client_vendor` has it; what is neither stays as it is."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(value, dict):
        return body
    write = _anthropic if client_vendor == "anthropic" else _openai
    if not isinstance(value.get("data"), list):
        return msgspec.json.encode(write(value)) if isinstance(value.get("id"), str) else body
    models = [write(model) for model in value["data"] if isinstance(model, dict) and isinstance(model.get("id"), str)]
    if client_vendor != "anthropic":
        return msgspec.json.encode({"object": "list", "data": models})
    ends = {"first_id": models[0]["id"] if models else None, "last_id": models[-1]["id"] if models else None}
    return msgspec.json.encode({"data": models, "has_more": bool(value.get("has_more")), **ends})


def _anthropic(model: dict[str, Any]) -> dict[str, Any]:
    if model.get("type") == "model":
        return model
    created = model.get("created")
    seconds = created if isinstance(created, int) and 0 <= created < 1 << 33 else 0
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": at}


def _openai(model: dict[str, Any]) -> dict[str, Any]:
    if model.get("object") == "model":
        return model
    try:
        created = int(datetime.fromisoformat(str(model.get("created_at"))).timestamp())
    except (ValueError, OverflowError):
        created = 0
    return {"id": model["id"], "object": "model", "created": created, "owned_by": "anthropic"}
