"""A labelled corpus: what is personal data or a secret and what only looks so. Generated, always the same."""

from dataclasses import dataclass

from tests.pii.corpus.negatives import negatives
from tests.pii.corpus.positives import positives
from tests.pii.corpus.sample import Sample

__all__ = ["Sample", "Score", "negatives", "positives", "score"]


@dataclass
class Score:
    """What a finder made of one type."""

    labels: int = 0
    found: int = 0  # labels that findings of their type cover from end to end
    touched: int = 0  # labels of which they cover at least a part
    right: int = 0  # findings that touch a label of their type
    wrong: int = 0  # findings that touch none

    @property
    def recall(self) -> float:
        return self.found / self.labels if self.labels else 1.0

    @property
    def touch(self) -> float:
        return self.touched / self.labels if self.labels else 1.0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0


def score(find, types, samples) -> tuple[dict[str, Score], list[str]]:
    """How `find(text) -> [(start, end, type)]` does on samples, by type, and every mistake as a line."""
    scores = {type_: Score() for type_ in types}
    mistakes = []
    for sample in samples:
        findings = [finding for finding in find(sample.text) if finding[2] in scores]
        for start, end, type_ in (label for label in sample.labels if label[2] in scores):
            covered = start
            for left, right, kind in sorted(findings):
                if kind == type_ and left <= covered:
                    covered = max(covered, right)
            scores[type_].labels += 1
            scores[type_].found += covered >= end
            scores[type_].touched += any(
                kind == type_ and left < end and right > start for left, right, kind in findings
            )
            if covered < end:
                mistakes.append(f"missed {type_} {sample.text[start:end]!r} in {sample.text!r} ({sample.kind})")
        for start, end, type_ in findings:
            right = any(kind == type_ and start < until and end > since for since, until, kind in sample.labels)
            scores[type_].right += right
            scores[type_].wrong += not right
            if not right:
                mistakes.append(f"wrong {type_} {sample.text[start:end]!r} in {sample.text!r} ({sample.kind})")
    return scores, mistakes
