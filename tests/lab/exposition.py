"""What `GET /metrics` says, read by Prometheus' own parser.

told = Exposition(text)
assert told.value("mxcheck_requests_total", endpoint="/v1/check", code="200") == 3
"""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample and its labels."""


class Exposition:
    """One scrape; raises ValueError when it is not Prometheus' text form."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.kinds: Mapping[str, str] = {family.name: family.type for family in families}
        """The type of each metric; the name of a counter is without `_total`."""
        self.samples: Mapping[Series, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series; 0 when it is not told, as for a counter that has counted nothing."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def series(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the samples of this name by their labels."""
        return {labels: value for (sample, labels), value in self.samples.items() if sample == name}

    def counters(self) -> dict[Series, float]:
        """Return every sample that may only grow: counters, buckets, counts and sums."""
        return {
            series: value
            for series, value in self.samples.items()
            if series[0].endswith(("_total", "_bucket", "_count", "_sum"))
        }
