"""The undocumented parts of uvicorn that this API extends; a test fails if a new version moves them.

uvicorn offers no setting for how long a request may take to arrive or a response to be read, how large a request's head
may be, how many connections a client may have, or what happens to workers that don't stop; subclasses of these classes
add them. Its parser is httptools', which is documented."""

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.supervisors import Multiprocess

__all__ = ["HttpParserUpgrade", "HttpRequestParser", "HttpToolsProtocol", "Multiprocess", "WebSocketsSansIOProtocol"]
