"""How errors reach a client: each with a stable code, and nothing of what was unforeseen."""

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from app import errors

log = structlog.get_logger(__name__)

_LONGEST_MESSAGE = 1_000


def shortened(message: str) -> str:
    """Return a message without the end of a long one: some show all that the client sent."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"


def of_payload(error: GraphQLError) -> GraphQLError:
    """Return the error of a field below a mutation's root field: its own code, such as FORBIDDEN, would say that
    nothing was done, and so would its status."""
    extensions = error.extensions or {}
    own = {**extensions, "code": errors.PAYLOAD_UNREADABLE, "cause": extensions.get("code")}
    return GraphQLError(error.message, error.nodes, path=error.path, extensions=own)


def presentable(error: GraphQLError, request_id: str) -> GraphQLError:
    """Return the error as a client may see it: with its code, and nothing of what was unforeseen."""
    cause = error.original_error
    error.message = shortened(error.message)
    if isinstance(cause, errors.RequestError):
        error.extensions = cause.extensions
    elif isinstance(error, GraphQLSyntaxError):
        error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
    elif error.path is None and (cause is None or (error.nodes and not isinstance(cause, GraphQLError))):
        # of the document as a whole, or of a literal in it that is not of its scalar
        error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED", **(error.extensions or {})}
    elif cause is None or isinstance(cause, GraphQLError):
        error.extensions = {"code": "BAD_USER_INPUT", **(error.extensions or {})}
    else:
        log.error("internal error", request_id=request_id, path=error.path, exc_info=cause)
        return GraphQLError(
            f"Something went wrong on our side. Include the request ID {request_id} when you report it.",
            nodes=error.nodes,
            path=error.path,
            extensions={"code": errors.INTERNAL, "requestId": request_id},
        )
    return error
