"""What several unit tests need."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """Give the root logger back as it was: configuring the log of a process replaces its handlers."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
