"""Figures over a span of time, for pages, API and commands: pure queries, each giving frozen dataclasses.

Counted are exchanges that make a model speak. Times are milliseconds, sizes bytes, costs USD; a cost is None where no
exchange of a sum has a known price.
"""

from sessions.stats.caching import cache_saving_of
from sessions.stats.over_time import Bucket, Hour, ModelShare, costs, hours, spending
from sessions.stats.redactions import RedactionFigures, redactions, redactions_of
from sessions.stats.span import Span
from sessions.stats.sums import (
    ClientFigures,
    Figures,
    ModelFigures,
    Overview,
    Percentiles,
    ProjectFigures,
    ProviderHealth,
    Sums,
    Tokens,
    by_model,
    figures,
    overview,
    provider_health,
)
from sessions.stats.tools import ToolFigures, tools

__all__ = [
    "Bucket",
    "ClientFigures",
    "Figures",
    "Hour",
    "ModelFigures",
    "ModelShare",
    "Overview",
    "Percentiles",
    "ProjectFigures",
    "ProviderHealth",
    "RedactionFigures",
    "Span",
    "Sums",
    "Tokens",
    "ToolFigures",
    "by_model",
    "cache_saving_of",
    "costs",
    "figures",
    "hours",
    "overview",
    "provider_health",
    "redactions",
    "redactions_of",
    "spending",
    "tools",
]
