"""What PromQL asks for: the metrics an expression names, and which labels of theirs it relies on.

uses("sum by (code) (rate(mxcheck_requests_total{endpoint='/'}[5m]))")
# [Use("mxcheck_requests_total", {"code"}, (("endpoint", "/"),))]
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import promql_parser as promql


class Use(NamedTuple):
    """A metric in an expression, the labels it is summed up by, and the labels it is chosen (or left out)
    by, each with a regular expression for their values."""

    metric: str
    kept: frozenset[str]
    chosen: tuple[tuple[str, str], ...]

    @property
    def labels(self) -> frozenset[str]:
        return self.kept | {label for label, _ in self.chosen}


def uses(expression: str) -> list[Use]:
    """Return every metric that an expression names; raises ValueError when it is no PromQL."""
    return list(_uses(promql.parse(expression), frozenset()))


def _uses(node: object, kept: frozenset[str]) -> Iterator[Use]:
    match node:
        case promql.VectorSelector():
            chosen = tuple((one.name, _pattern(one)) for one in node.matchers.matchers)
            yield Use(node.name or "", kept, chosen)
        case promql.MatrixSelector():
            yield from _uses(node.vector_selector, kept)
        case promql.AggregateExpr():
            by = node.modifier
            if by is not None:
                assert by.type == promql.AggModifierType.By, "`without` keeps labels that nobody names"
                kept = kept | set(by.labels)
            yield from _uses(node.expr, kept)
        case promql.Call():
            for argument in node.args:
                yield from _uses(argument, kept)
        case promql.BinaryExpr():
            yield from _uses(node.lhs, kept)
            yield from _uses(node.rhs, kept)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _uses(node.expr, kept)
        case promql.NumberLiteral() | promql.StringLiteral():
            pass
        case _:
            raise TypeError(f"{type(node).__name__}: not known here")


def _pattern(matcher: promql.Matcher) -> str:
    exact = matcher.op == promql.MatchOp.Equal or matcher.op == promql.MatchOp.NotEqual
    return re.escape(matcher.value) if exact else matcher.value
