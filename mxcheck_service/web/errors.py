"""The one error that handlers raise."""

from collections.abc import Mapping, Sequence

from mxcheck_service.web.schema import FieldProblem


class ApiError(Exception):
    """A request that cannot be served: status, what is wrong, which fields are, and headers of the reply."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def wrong_fields(problems: Mapping[str, str]) -> ApiError:
    """Return the error of a request whose fields are wrong; `problems`: what is wrong, by field."""
    return ApiError(
        422, "the request is not valid", [{"field": field, "message": message} for field, message in problems.items()]
    )
