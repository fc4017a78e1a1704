"""Budgets and quotas: what is counted, how it is foreseen, told and shown."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from routing.limits import quotas_of
from sessions.budgets import notices, quotas, spending, statuses, webhook
from sessions.budgets.definitions import Budget, Period, forecast, period_at, problem_of_webhook, problems_of
from sessions.models import Budget as Row
from sessions.models import BudgetNotice, BudgetSpend, Exchange, QuotaWindow, Session

BERLIN = ZoneInfo("Europe/Berlin")
pytestmark = pytest.mark.usefixtures("both_databases")


def spend(cost: float | None, project: str = "moon", client: str = "codex", at: datetime | None = None) -> Exchange:
    at = at or timezone.now()
    session, _ = Session.objects.get_or_create(
        session_id=f"{project}{client}", defaults={"project": project, "started_at": at}
    )
    number = Exchange.objects.count()
    return Exchange.objects.create(
        session=session, recorder="t", request_id=f"r{number}", listener="openai", provider="openai", method="POST", path="/",
        client=client, success=True, started_at=at, total_tokens=5, cost_usd=cost, kind="model",
    )  # fmt: skip


def budget(**values) -> Row:
    return Row.objects.create(**{"name": "b", "limit_usd": 10, **values})


# -- periods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "now", "start", "end"),
    [
        ("day", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),  # of 23 hours
        ("day", "2026-10-25T23:30+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),  # of 25
        ("month", "2026-12-31T23:59+01:00", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
        ("month", "2026-01-31T22:59+00:00", "2026-01-01T00:00+01:00", "2026-02-01T00:00+01:00"),
    ],
)
def test_periods_are_those_of_the_clock_on_the_wall(kind, now, start, end):
    found = period_at(kind, datetime.fromisoformat(now), BERLIN)
    assert found == Period(datetime.fromisoformat(start).astimezone(UTC), datetime.fromisoformat(end).astimezone(UTC))


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)), st.sampled_from(["day", "month"])
)
def test_every_moment_is_in_its_period_and_the_next_begins_where_it_ends(now, kind):
    found = period_at(kind, now, BERLIN)
    assert found.start <= now < found.end
    assert period_at(kind, found.end, BERLIN).start == found.end


def test_a_forecast_goes_on_at_the_pace_of_the_last_days_or_as_the_period_began():
    period = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC))
    now = datetime(2026, 1, 3, tzinfo=UTC)
    assert forecast(10, period, now, None) == 50
    assert forecast(10, period, now, 1 / 86400) == pytest.approx(18)


# -- sums ---------------------------------------------------------------------------------------------------------


def test_what_counts_is_what_the_scope_says():
    for project, client, cost in (("moon", "codex", 1.0), ("moon", "claude-code", 2.0), ("sun", "codex", 4.0)):
        spend(cost, project, client)
    spend(None, "moon")
    spend(100.0, at=timezone.now() - timedelta(days=70))
    budget(name="all")
    budget(name="project", scope="project", value="moon")
    budget(name="client", scope="client", value="codex", period="day")
    budget(name="off", enabled=False)
    found = {status.budget.name: status for status in statuses.read(timezone.now())}
    assert {name: status.spent_usd for name, status in found.items()} == {"all": 7.0, "project": 3.0, "client": 5.0}
    assert found["project"].unpriced == 1
    assert (found["all"].percent, found["all"].state) in {(70, "ahead"), (70, "fine")}


def test_what_is_deleted_from_the_record_stays_spent():
    budget()
    spend(3.0)
    now = timezone.now()
    budgets = [Row.objects.get().definition()]
    spending.read(budgets, now, write=True)
    Exchange.objects.all().delete()
    (total,) = spending.read(budgets, now, write=True).values()
    assert total.spent_usd == 3.0
    spend(1.0)
    (total,) = spending.read(budgets, now).values()
    assert total.spent_usd >= 3.0
    assert BudgetSpend.objects.count() == 1


# -- notices ------------------------------------------------------------------------------------------------------


def totals_of(row: Row, spent: float) -> dict:
    period = period_at("month", timezone.now(), UTC)
    return {row.definition().key: spending.Total(period, spent)}


def test_each_threshold_is_told_once():
    row = budget()
    assert notices.write([row.definition()], totals_of(row, 7.9)) == []
    assert [told.threshold for told in notices.write([row.definition()], totals_of(row, 8.0))] == [80]
    assert notices.write([row.definition()], totals_of(row, 9.0)) == []
    assert [told.threshold for told in notices.write([row.definition()], totals_of(row, 10.0))] == [100]
    assert notices.write([row.definition()], totals_of(row, 11.0)) == []
    (shown,) = notices.shown(timezone.now())
    assert shown.is_over
    assert shown.words == "Budget b (everything, month) is used up: $10.00 of $10.00."


def test_a_notice_is_on_every_page_until_it_is_dismissed(settings):
    settings.ALLOWED_HOSTS = ["*"]
    row = budget()
    notices.write([row.definition()], totals_of(row, 8.0))
    client = Client(enforce_csrf_checks=True)
    for address in ("/ui/", "/ui/sessions", "/ui/settings", "/ui/notices"):
        assert "Budget b (everything, month) has reached 80 %" in client.get(address).content.decode()
    (notice,) = BudgetNotice.objects.all()
    dismiss = f"/ui/notices/{notice.pk}/dismiss"
    assert client.post(dismiss).status_code == 403
    assert client.get(dismiss).status_code == 405
    token = client.cookies[settings.CSRF_COOKIE_NAME].value
    for back, target in (
        ("/ui/settings", "/ui/settings"),
        ("//evil.example", "/ui/"),
        ("https://evil.example", "/ui/"),
    ):
        answer = client.post(dismiss, {"csrfmiddlewaretoken": token, "back": back})
        assert (answer.status_code, answer["Location"]) == (302, target)
    assert "has reached" not in client.get("/ui/").content.decode()


# -- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"), ({"scope": "team"}, "scope"), ({"period": "year"}, "period"), ({"value": "x"}, "value"),
        ({"scope": "client", "value": "vim"}, "value"), ({"scope": "project"}, "value"), ({"limit_usd": 0}, "limit_usd"),
        ({"limit_usd": float("inf")}, "limit_usd"), ({"webhook_url": "ftp://h/x"}, "webhook_url"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_field(values, field):
    (problem,) = problems_of(Budget(**{"name": "b", "limit_usd": 1.0, **values}))
    assert problem.startswith(f"{field}: expected")


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://user:pw@h/", "file:///etc/passwd", "http://0.0.0.0/", "http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/", "http://168.63.129.16/", "http://[fd20:ce::254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://192.0.0.192/", "http://h/\r\nx: y", ""],
)  # fmt: skip
def test_no_notice_goes_to_such_an_address(url):
    assert problem_of_webhook(url)


@pytest.mark.parametrize(
    ("means", "url"), [("169.254.169.254", "http://hooks.example.com/"), ("127.0.0.1", "http://localhost:8081/")]
)
def test_nor_to_a_name_that_means_one_nor_to_lunaroute_itself(means, url, monkeypatch):
    monkeypatch.setattr(webhook.socket, "getaddrinfo", lambda *about, **options: [(0, 0, 0, "", (means, 0))])
    with pytest.raises(webhook.Refused):
        webhook.post(url, {})


def test_the_admin_says_what_is_wrong():
    owner = get_user_model().objects.create_superuser("owner")
    client = Client()
    client.force_login(owner)
    form = {
        "name": "b",
        "scope": "client",
        "value": "vim",
        "period": "day",
        "limit_usd": "5",
        "webhook_url": "",
        "enabled": "on",
    }
    page = client.post("/admin/record/budget/add/", form, headers={"host": "localhost"}).content.decode()
    assert "expected one of the clients (" in page
    answer = client.post("/admin/record/budget/add/", {**form, "value": "codex"}, headers={"host": "localhost"})
    assert answer.status_code == 302
    assert Row.objects.get().definition().key.value == "codex"


# -- quotas -------------------------------------------------------------------------------------------------------

RESET = 1_800_000_000


def answered(*headers: tuple[str, str], provider: str = "anthropic") -> Exchange:
    row = spend(1.0)
    row.provider, row.status, row.completed_at, row.response_headers = provider, 200, timezone.now(), list(headers)
    return row


def test_what_providers_say_is_kept_by_account_and_window():
    book = quotas.Book()
    book.take([
        answered(("content-type", "x")),
        answered(("anthropic-organization-id", "org-1"), ("anthropic-ratelimit-unified-5h-utilization", "0.25"),
                 ("anthropic-ratelimit-unified-5h-reset", str(RESET))),
        answered(("x-codex-primary-used-percent", "40"), ("x-codex-primary-reset-at", str(RESET)), provider="openai"),
    ])  # fmt: skip
    book.write()
    book.take([answered(("anthropic-organization-id", "org-1"), ("anthropic-ratelimit-unified-5h-utilization", "0.5"))])
    book.write()
    assert QuotaWindow.objects.get(window="unified-5h").used_percent == 25  # not yet: it was written a moment ago
    book.write(at_once=True)
    found = {(w.provider, w.window): w for w in quotas.shown(timezone.now())}
    assert found["anthropic", "unified-5h"].used_percent == 50
    assert len(found["anthropic", "unified-5h"].account) == 8
    assert "org" not in found["anthropic", "unified-5h"].account
    assert (found["openai", "codex-primary"].used_percent, found["openai", "codex-primary"].reset_at) == (40, RESET)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["primary", "secondary", "x"]),
            st.sampled_from(["used-percent", "reset-at", "reset-after-seconds", "window-minutes", ""]),
            st.text(max_size=12),
        ),
        max_size=6,
    )
)
def test_nothing_that_is_said_raises(parts):
    headers = [(f"x-codex-{w}-{k}".encode(), v.encode("utf-8", "replace")) for w, k, v in parts]
    assert len(quotas_of(headers, 0.0)) <= 2


def test_pages_and_api_show_them(settings):
    settings.ALLOWED_HOSTS = ["*"]
    spend(9.0)
    budget(refuse=True)
    QuotaWindow.objects.create(
        provider="anthropic", window="unified-5h", limit=1, remaining=0.25, reset_at=RESET, seen_at=timezone.now()
    )
    QuotaWindow.objects.create(provider="openai", window="odd", reset_at=1e30, seen_at=timezone.now())
    (said,) = Client().get("/api/budgets").json()
    assert (said["name"], said["spent_usd"], said["percent"], said["refuse"], said["source"]) == (
        "b",
        9.0,
        90,
        True,
        "admin",
    )
    anthropic, openai = Client().get("/api/quotas").json()
    assert (anthropic["used_percent"], anthropic["window"]) == (75, "unified-5h")
    assert openai["reset_at"] is None
    page = Client().get("/ui/").content.decode()
    assert "b: 90 % spent" in page
    assert "unified-5h" in page
