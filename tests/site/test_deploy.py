"""What stands under deploy/: expressions over metrics and labels that are there. Whether Prometheus takes them: test_prometheus.py."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from tests.site.test_metrics import FAMILIES
from tests.support.server import ROOT

NAMES = {f"lunaroute_{name}{more}" for name in FAMILIES for more in ("", "_bucket", "_count", "_sum")} | {"up"}
_WORD = re.compile(r"\blunaroute_[a-z_]+")
# What Grafana puts in the place of its variable.
INTERVAL = "1m"


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def panels() -> list[dict]:
    return json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    yield from alerts().items()
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", INTERVAL)


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_an_expression_is_over_metrics_that_are_there(title, expression):
    named = set(_WORD.findall(expression)) | (set() if "lunaroute_" in expression else {"up"})
    assert named
    assert named <= NAMES, named - NAMES


def test_labels_in_expressions_are_those_of_the_metrics():
    page = (ROOT / "docs/metrics.md").read_text()
    labels = {
        name: set(re.findall(r"\w+", text)) for name, text in re.findall(r"`lunaroute_(\w+)(?:\{([^}]*)\})?`", page)
    }
    for title, expression in expressions():
        used = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(", ")}
        for full in _WORD.findall(expression):
            name = full.removeprefix("lunaroute_")
            family = name if name in labels else name.rpartition("_")[0]
            le = {"le"} if name.endswith("_bucket") else set()
            assert used <= labels[family] | le, (title, full)


def test_a_panel_of_each_question():
    titles = {panel["title"] for panel in panels()}
    assert titles >= {
        "Requests per minute", "P95 latency by provider", "Tokens per minute", "Tool calls", "Cost per day",
        "Overhead against provider",
    }  # fmt: skip
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_an_alert_of_each_trouble():
    assert {"RecorderDropsText", "CircuitBreakerOpen", "ErrorRate", "SpendOfTheDay"} <= set(alerts())


def test_the_scraped_address_is_the_server_by_default():
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    assert (job["static_configs"], job["metrics_path"]) == ([{"targets": ["localhost:8081"]}], "/metrics")


def test_the_page_names_every_family():
    page = (ROOT / "docs/metrics.md").read_text()
    assert set(re.findall(r"^\| `lunaroute_(\w+)", page, re.M)) == set(FAMILIES)
