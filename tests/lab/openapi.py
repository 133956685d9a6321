"""What an OpenAPI document promises, held against what a service sends."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from openapi_schema_validator import OAS31Validator

Document = dict[str, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def closed(document: Document) -> Document:
    """Return the document with every object limited to the properties it names, unless it says that there are more.

    The published one leaves room for what is added later; a test is to notice what is not documented.
    """
    found = copy.deepcopy(document)
    for model in found["components"]["schemas"].values():
        if "properties" in model:
            model.setdefault("additionalProperties", False)
    return found


class Interface:
    """A closed document, by operation."""

    def __init__(self, document: Document) -> None:
        self.document = closed(document)

    def operations(self) -> Iterator[tuple[str, str, Document]]:
        """Yield (METHOD, path, operation)."""
        for path, item in self.document["paths"].items():
            for method in _METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def reply(self, operation: Document, status: int) -> Document:
        """Return what is documented of a reply with this status; raises KeyError."""
        reply: Document = operation["responses"][str(status)]
        return self.document["components"]["responses"][reply["$ref"].rsplit("/", 1)[1]] if "$ref" in reply else reply

    def problems(self, schema: Document, instance: object) -> list[str]:
        """Return what is wrong with an instance of a schema of the document."""
        validator = OAS31Validator(schema | {"components": self.document["components"]})
        return [error.message for error in validator.iter_errors(instance)]

    def check(self, operation: Document, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Assert that a reply is as documented."""
        documented = self.reply(operation, status)
        missing = {name for name in documented.get("headers", {}) if name not in headers}
        assert not missing, f"{status} without {missing}"
        contents = documented.get("content", {})
        if not contents:
            assert body == b""
            return
        media_type = headers["Content-Type"].partition(";")[0]
        assert media_type in contents
        instance = json.loads(body) if media_type.endswith("json") else body.decode()
        assert self.problems(contents[media_type]["schema"], instance) == [], instance
