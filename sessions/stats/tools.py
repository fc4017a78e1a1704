"""Tools over a span."""

from dataclasses import dataclass

from sessions.stats.span import Span, moment, rows
from sessions.stats.sums import percentiles


@dataclass(frozen=True, slots=True)
class ToolFigures:
    """A tool's use. Times are those of calls whose result came; sizes in bytes."""

    name: str
    calls: int
    failures: int
    avg_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    result_bytes: int


def tools(span: Span) -> list[ToolFigures]:
    """The tools that were called in a span, the most called first."""
    more, values, needs_session = span.filters()
    joins = " JOIN exchanges e ON e.id = t.exchange_id" if more else ""
    joins += " JOIN sessions s ON s.id = t.session_id" if needs_session else ""
    condition = " AND ".join(["t.started_at >= %s", "t.started_at < %s", *more])
    parameters = [moment(span.since), moment(span.until), *values]
    sums = rows(
        "SELECT t.name, COUNT(*), SUM(CASE WHEN t.is_error THEN 1 ELSE 0 END), AVG(t.execution_ms), SUM(t.output_bytes)"
        f" FROM tool_calls t{joins} WHERE {condition} GROUP BY t.name ORDER BY COUNT(*) DESC, t.name",
        parameters,
    )
    times: dict[str, list[float]] = {}
    for name, took in rows(
        f"SELECT t.name, t.execution_ms FROM tool_calls t{joins} WHERE {condition} AND t.execution_ms IS NOT NULL",
        parameters,
    ):
        times.setdefault(name, []).append(took)
    found = []
    for name, calls, failures, average, size in sums:
        measured = percentiles(times.get(name, ()))
        found.append(ToolFigures(name, calls, int(failures or 0), average, measured.p50, measured.p95, int(size or 0)))
    return found
