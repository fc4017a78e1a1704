"""A team's server: alice and bob are users, carol administers, dora may read everything."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import zygote
from tests.support.server import RunningServer, environment, start_server, take_migrated_database
from tests.support.upstream import FakeUpstream

CONFIG = "team: {enabled: true, readers: [dora]}\nui: {delete_enabled: true}\n"
ANSWER = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "done"}], "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
MAKE = """
import json
from django.contrib.auth import get_user_model
from team import tokens
from team.models import Project
users, found = get_user_model().objects, {}
for name in ("alice", "bob", "carol", "dora"):
    user = users.create_user(name, password=name + "-password", is_staff=name == "carol", is_superuser=name == "carol")
    found[name] = tokens.make(user, "test")[1]
Project.objects.create(name="shared").members.set(users.filter(username__in=["alice", "bob"]))
print(json.dumps(found))
"""


@dataclass
class Team:
    """The server and everybody's token."""

    server: RunningServer
    tokens: dict[str, str]

    def ask(self, who: str, text: str, session: str, prefix: bool = False, **headers: str) -> httpx.Response:
        """Send a request to the provider as `who`."""
        body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        base = f"{self.server.url}/t/{self.tokens[who]}" if prefix else self.server.url
        sent = {"x-session-id": session, "anthropic-version": "2023-06-01", "x-api-key": "k", **headers}
        if not prefix:
            sent["x-lunaroute-token"] = self.tokens[who]
        return httpx.post(f"{base}/v1/messages", json=body, headers=sent, trust_env=False)

    def get(self, who: str, path: str, **headers: str) -> httpx.Response:
        """Ask one of LunaRoute's own addresses as `who`; "" is nobody."""
        if who:
            headers["authorization"] = f"Bearer {self.tokens[who]}"
        return httpx.get(self.server.url + path, headers=headers, trust_env=False)

    @contextmanager
    def browser(self, who: str) -> Iterator[httpx.Client]:
        """Sign in with a password, as a browser does."""
        with httpx.Client(base_url=self.server.url, headers={"accept": "text/html"}, trust_env=False) as client:
            client.get("/login")
            token = client.cookies[f"lunaroute_csrf_{self.server.port}"]
            form = {"username": who, "password": f"{who}-password", "csrfmiddlewaretoken": token}
            assert client.post("/login", data=form).status_code == 302
            yield client


def csrf_of(browser: httpx.Client) -> str:
    """Give the token against forged forms; its cookie is called after the server's port."""
    return browser.cookies[f"lunaroute_csrf_{browser.base_url.port}"]


def make_team(home: Path, config: str, provider: FakeUpstream, *arguments: str, **environ: str) -> Team:
    """Start a team's server on a home of its own."""
    home.mkdir(exist_ok=True)
    (home / "team.yaml").write_text(config)
    if "DATABASE_URL" not in environ:
        take_migrated_database(home / ".lunaroute")
    own = environment(home, LUNAROUTE_CONFIG=str(home / "team.yaml"), **environ)
    if "DATABASE_URL" in environ:
        zygote.run("manage.py", ["migrate"], own).check_returncode()
    made = zygote.run("manage.py", ["shell", "--no-imports", "-c", MAKE], own)
    made.check_returncode()
    tokens = json.loads(made.stdout.splitlines()[-1])
    server = start_server(home, provider.url, *arguments, LUNAROUTE_CONFIG=str(home / "team.yaml"), **environ)
    return Team(server, tokens)


@pytest.fixture(scope="session")
def _team(provider: FakeUpstream, tmp_path_factory) -> Iterator[Team]:
    team = make_team(tmp_path_factory.mktemp("team"), CONFIG, provider)
    yield team
    assert team.server.stop() == 0, team.server.output()
    assert "Traceback" not in team.server.output(), team.server.output()


async def answer(exchange) -> None:
    """The provider's part."""
    await exchange.read_body()
    await exchange.json(ANSWER)


@pytest.fixture
def team(_team: Team, upstream: FakeUpstream) -> Team:
    """The team, with a provider that answers."""
    upstream.script(answer)
    return _team
