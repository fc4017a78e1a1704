"""Pages, commands and messages show the configuration without what would let somebody in."""

import pytest

from tests.site.test_commands import run

SECRET = "not-to-be-seen"
CONFIG = f"""
redis_url: "redis://user:{SECRET}@127.0.0.1:1/0?password={SECRET}"
providers:
  anthropic:
    base_url: "https://user:{SECRET}@api.example.com/v1"
    request_headers: {{headers: {{Authorization: "Bearer {SECRET}", X-Api-Key: "{SECRET}", X-Project-ID: "moon"}}}}
    request_body:
      overrides: {{metadata: {{credentials: {{value: "{SECRET}"}}, user_id: "someone"}}, max_tokens: 5}}
      prepend_messages: [{{role: "user", content: "password = 'hunter2-{SECRET}-9'"}}]
routing:
  rules: [{{name: "r", headers: {{authorization: "^Bearer {SECRET}$"}}, primary: "anthropic"}}]
budgets:
  - {{name: "b", limit_usd: 5, webhook_url: "https://hooks.example.com/{SECRET}"}}
"""


@pytest.fixture
def configured(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_the_page_of_settings_shows_no_credential(start, configured):
    configured.write_text("\n".join(line for line in CONFIG.splitlines() if not line.startswith("redis_url")))
    server = start(
        LUNAROUTE_CONFIG=str(configured), LUNAROUTE_ANTHROPIC_BASE_URL=f"https://user:{SECRET}@api.example.com/v1"
    )
    for address in ("/ui/settings", "/api/providers", "/api/rules", "/ui/routing", "/ui/", "/api/budgets"):
        page = server.get(address)[2].decode()
        assert SECRET not in page, address
    page = server.get("/ui/settings")[2].decode()
    for shown in ("moon", "someone", "api.example.com", "request_headers.headers.Authorization"):
        assert shown in page
    assert SECRET not in server.output()


def test_neither_does_the_value_of_redis_url(configured):
    from lunaroute_site.config import load
    from sessions.pages.figures import _settings

    config = load({"LUNAROUTE_CONFIG": str(configured), "LUNAROUTE_HOME": str(configured.parent)})
    shown = {setting.key: setting.value for setting in _settings(config, "")}
    assert SECRET not in str(shown)
    assert shown["redis_url"].startswith("redis://(hidden)@127.0.0.1:1/0")


@pytest.mark.parametrize(
    "lines",
    [
        f'redis_url: "http://u:{SECRET}@h"', f'database_url: "mysql://u:{SECRET}@h/d"', f'auth_token: "{SECRET[:9]}"',
        f'providers: {{anthropic: {{base_url: "ftp://u:{SECRET}@h"}}}}', f'providers: {{anthropic: {{base_url: "http://h/?key={SECRET}"}}}}',
    ],
)  # fmt: skip
def test_nor_does_a_complaint_about_it(tmp_path, lines):
    (tmp_path / "bad.yaml").write_text(lines)
    done = run(tmp_path, "serve", LUNAROUTE_CONFIG=str(tmp_path / "bad.yaml"))
    assert done.returncode != 0
    assert SECRET[:9] not in done.stdout + done.stderr
