"""Each setting that docs/routing.md shows, tried as it stands."""

import json
import re

import pytest
import yaml

from tests.proxy.test_failover import ask, fails
from tests.site.test_docs import blocks

PAGE = "docs/routing.md"


def shown(heading: str) -> str:
    """The first YAML block below a heading."""
    from tests.support.server import ROOT

    _, _, rest = (ROOT / PAGE).read_text().partition(f"\n{heading}\n")
    assert rest, heading
    return re.search(r"```yaml\n(.*?)```", rest, re.DOTALL)[1]


@pytest.fixture
def documented(routed):
    """Start a server by a block of the page; `anthropic` is the first provider, `backup` and `local` are the second."""

    def begin(heading: str, **environ: str):
        config = yaml.safe_load(shown("## Providers")) | yaml.safe_load(shown(heading))
        for name, provider in config["providers"].items():
            if name != "anthropic":
                provider["base_url"] = "SECOND" + ("/v1" if provider["provider_type"] == "openai" else "")
        return routed(json.dumps(config), **{"ANTHROPIC_API_KEY": "sk-ant-of-the-server", **environ})

    return begin


def test_every_block_is_a_configuration(routed, first, second):
    for block in blocks(PAGE, "yaml"):
        assert isinstance(yaml.safe_load(block), dict)


def test_primary_and_fallbacks(documented, first, second):
    server = documented("### Primary and fallbacks")
    first.script(fails(500))
    assert ask(server).header(b"x-lunaroute-provider") == b"backup"


def test_round_robin(documented, first, second):
    server = documented("### Round robin")
    served = [ask(server).header(b"x-lunaroute-provider") for _ in range(6)]
    assert served[::2] == [served[0]] * 3
    assert served[1::2] == [served[1]] * 3
    assert set(served) == {b"anthropic", b"backup"}


def test_by_weight(documented, first, second):
    server = documented("### By weight")
    served = [ask(server).header(b"x-lunaroute-provider") for _ in range(15)]
    for at in range(11):
        assert served[at : at + 5].count(b"anthropic") == 4


def test_an_alternative_while_a_limit_lasts(documented, first, second):
    server = documented("### An alternative while a limit lasts")
    assert ask(server).header(b"x-lunaroute-provider") == b"anthropic"
    first.script(fails(429))
    assert ask(server).header(b"x-lunaroute-provider") == b"backup"
    first.script(None)
    assert ask(server).header(b"x-lunaroute-provider") == b"backup"  # it rests for a minute
    _, _, metrics = server.get("/metrics")
    assert b'lunaroute_rate_limit_alternatives_used_total{from_provider="anthropic",to_provider="backup"}' in metrics


def test_changing_requests(documented, first, second):
    server = documented("## Changing requests", USER="jane")
    ask(server)
    (request,) = first.requests
    assert request.header("x-developer-id") == "jane"
    assert (request.json["temperature"], request.json["top_p"]) == (0.7, 0.9)
    assert request.json["messages"][0]["content"] == "Be concise."


def test_claude_code_on_a_local_model(routed, first, second):
    server = routed(shown("## Either dialect, either provider").replace("http://localhost:11434", "SECOND"))
    assert ask(server).json["content"][0]["text"].startswith("You said: hi")
    assert second.requests[0].target == b"/v1/chat/completions"
    assert second.requests[0].json["model"] == "qwen3-coder"


def test_codex_on_anthropic(routed, first, second):
    *_, block = blocks(PAGE, "yaml")
    server = routed(block, ANTHROPIC_API_KEY="sk-ant-of-the-server")
    answer = ask(server, b'{"model": "gpt-5", "input": "hi"}', target=b"/v1/responses")
    assert answer.json["output"][-1]["content"][0]["text"] == "You said: hi"
    assert first.requests[0].header("x-api-key") == "sk-ant-of-the-server"
