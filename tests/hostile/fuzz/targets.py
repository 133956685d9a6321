"""All targets by name."""

from typing import Final

from tests.hostile.fuzz import files, mapping, messages, peers, stores
from tests.hostile.fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target for module in (messages, peers, stores, mapping, files) for target in module.TARGETS
}
