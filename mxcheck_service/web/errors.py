"""The one error that handlers raise."""

from collections.abc import Sequence

from mxcheck_service.web.schema import FieldProblem


class ApiError(Exception):
    """A request that cannot be served: status, what is wrong, and which fields are."""

    def __init__(self, status: int, detail: str, errors: Sequence[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
