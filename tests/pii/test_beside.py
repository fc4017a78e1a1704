"""Secrets that are known by a word beside them."""

import time

import pytest

from pii.detectors import find
from pii.detectors.beside import beside

UUID, X32, X40 = (
    "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c",
)
B64 = "aHVudGVyMi1YazI5"


def secrets(text: str) -> list[str]:
    return [text[found.start : found.end] for found in find(text, ["SECRET"])]


@pytest.mark.parametrize(
    "marked",
    [
        f"heroku: ⟦{UUID}⟧", f'HEROKU_KEY="⟦{UUID}⟧"', f"MY_HEROKU_KEY=⟦{UUID}⟧", f"Heroku key: ⟦{UUID}⟧", f"DD_API=⟦{X32}⟧", f"datadog.app_key = '⟦{X40}⟧'", f'{{"datadog": "⟦{X40}⟧"}}', f'{{\\"algolia\\": \\"⟦{X32}⟧\\"}}',
        'cloudflare := "⟦Xk29vQm4tzLp07RsXk29vQm4tzLp07RsXk29vQm4⟧"', f"  codecov: '⟦{UUID}⟧'", f"snyk => '⟦{UUID}⟧',",
        f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: mysecret\ndata:\n  value: ⟦{B64}⟧\n", f"apiVersion: v1\ndata:\n  value: ⟦{B64}⟧\nkind: Secret\nmetadata:\n  name: mysecret\n",
        f"items:\n- apiVersion: v1\n  data:\n    tls.crt: ⟦{B64}⟧\n  kind: Secret\n  metadata:\n    name: mysecret\n", f'{{"kind": "Secret", "data": {{"value": "⟦{B64}⟧"}}, "type": "Opaque"}}',
    ],
)  # fmt: skip
def test_what_has_no_form_is_known_by_the_word_beside_it(marked):
    value = marked.partition("⟦")[2].partition("⟧")[0]
    assert set(secrets(marked.replace("⟦", "").replace("⟧", ""))) == {value}


@pytest.mark.parametrize(
    "text",
    [
        f"heroku_app_id: {UUID}", f"datadog trace id: {X32}", f"cloudflare commit: {X40}", f"cloudflare/workers-sdk@{X40}", f"algolia: {X40}/index.js", "datadog: datadog-agent-7-kubernetes-cluster", "heroku: heroku_postgresql_silver_url_2", f"sha: {X40}",
        f"apiVersion: v1\nkind: ConfigMap\ndata:\n  value: {B64}\n", "kind: SecretStore\ndata:\n  value: production12\n", "kind: Secret\nmetadata:\n  name: mysecret\n",
    ],
)  # fmt: skip
def test_what_only_looks_so_stays(text):
    assert secrets(text) == []


@pytest.mark.alone
@pytest.mark.parametrize(
    "unit",
    [
        "heroku",
        "heroku=",
        f"dd_api={X32} ",
        "kind: Secret\n",
        "kind: Secret\ndata:\n  a: aaaa\n",
        '"kind":"Secret","data":{',
        "data:\n a: b\n",
    ],
)
def test_a_megabyte_of_such_words_takes_less_than_a_second(unit):
    data = (unit * (1_000_000 // len(unit))).encode()
    began = time.thread_time()
    for _ in beside(data):
        pass
    assert time.thread_time() - began < 1
