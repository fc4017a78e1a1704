"""One's own prices, and pricing anew."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest
from django.core.exceptions import ValidationError

from sessions import prices
from sessions.dialects.facts import Usage
from sessions.models import Exchange, ModelPrice, Session
from sessions.repricing import Repriced, reprice
from tests.support.databases import default_database
from tests.support.raw import RawClient
from tests.support.server import eventually

USAGE = Usage(input=1_000_000, output=1_000_000, cache_read=1_000_000, cache_creation_5m=1_000_000)


@pytest.fixture(autouse=True)
def forget():
    yield
    prices._own, prices._read_at = (), float("-inf")


def own(pattern: str, **fields) -> ModelPrice:
    row = ModelPrice(pattern=pattern, **{"input": Decimal(1), "output": Decimal(2), **fields})
    row.full_clean()
    row.save()
    prices.refresh(at_once=True)
    return row


def test_own_prices_win_over_the_list_and_match_whole_names(both_databases):
    own("claude-sonnet-4-5", cache_read=Decimal("0.5"))
    assert prices.cost_usd("anthropic", "claude-sonnet-4-5", USAGE) == 4.5
    assert prices.cost_usd("anthropic", "claude-sonnet-4-5-20250929", USAGE) > 10
    assert prices.cost_usd("anthropic", "mine", USAGE) is None


def test_the_more_exact_price_counts(both_databases):
    own(".*", input=Decimal(9))
    own("mine-.*", input=Decimal(8))
    own(".*", provider_type="openai", input=Decimal(7))
    usage = Usage(input=1_000_000)
    assert prices.cost_usd("anthropic", "mine-1", usage) == 8
    assert prices.cost_usd("anthropic", "other", usage) == 9
    assert prices.cost_usd("openai", "mine-1", usage) == 7


@pytest.mark.parametrize("fields", [{"pattern": "("}, {"pattern": "a", "input": Decimal(-1)}, {"pattern": ""}])
def test_what_is_no_price_is_refused(both_databases, fields):
    with pytest.raises(ValidationError):
        own(**fields)


def test_own_prices_are_not_asked_for_with_every_exchange(db, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(prices, "_read_at", float("-inf"))
    monkeypatch.setattr(prices, "FRESH", float("inf"))
    with django_assert_num_queries(1):
        for _ in range(10):
            prices.refresh()


def exchange(row: Session, number: int, model: str, cost: float | None) -> Exchange:
    return Exchange.objects.create(
        session=row, recorder="t", request_id=f"{row.session_id}{number}", listener="anthropic", provider="anthropic", method="POST",
        path="/", model_used=model, success=True, started_at=datetime.now(UTC), input_tokens=1_000_000, total_tokens=1_000_000,
        cost_usd=cost,
    )  # fmt: skip


def test_pricing_anew_corrects_sums(both_databases):
    one = Session.objects.create(session_id="a", started_at=datetime.now(UTC), cost_usd=5.0)
    exchange(one, 1, "known", 5.0)
    exchange(one, 2, "mine", None)
    exchange(one, 3, "nobody's", None)
    own("mine|known")
    assert reprice() == Repriced(exchanges=1, sessions=1, unknown=1)
    one.refresh_from_db()
    assert one.cost_usd == 6.0
    assert reprice(["known"]) == Repriced(exchanges=1, sessions=1)
    one.refresh_from_db()
    assert one.cost_usd == 2.0
    assert reprice(["known"]) == Repriced()


def test_the_admin_checks_prices_and_prices_anew(db, admin_client):
    one = Session.objects.create(session_id="a", started_at=datetime.now(UTC))
    exchange(one, 1, "mine", None)
    form = {"pattern": "(", "provider_type": "", "input": "1", "output": "-2"}
    refused = admin_client.post("/admin/record/modelprice/add/", form).content.decode()
    assert "expected a regular expression" in refused
    assert "greater than or equal to 0" in refused
    assert (
        admin_client.post("/admin/record/modelprice/add/", {**form, "pattern": "mi.e", "output": "2"}).status_code
        == 302
    )
    chosen = {"action": "price_anew", "_selected_action": [ModelPrice.objects.get().pk]}
    assert admin_client.post("/admin/record/modelprice/", chosen).status_code == 302
    assert Exchange.objects.get().cost_usd == 1.0


def test_a_price_takes_effect_in_the_running_recorder(start, upstream, database_url, django_db_blocker):
    server = start()
    asked = count(1)

    def cost() -> float | None:
        with RawClient(server.port) as client:
            client.request(body=b'{"model":"mine","messages":[]}')
        server.wait_recorded(next(asked))
        return server.rows("select cost_usd from exchanges order by id desc limit 1")[0][0]

    assert cost() is None
    with default_database(database_url or f"sqlite:///{server.home}/db.sqlite3"), django_db_blocker.unblock():
        ModelPrice.objects.create(pattern="mine", input=1, output=2)
    assert eventually(cost, "a cost") > 0
