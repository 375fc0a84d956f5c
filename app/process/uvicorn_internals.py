"""The undocumented parts of uvicorn that this API extends; a test fails if a new version moves them.

uvicorn offers no setting for how long a request may take to arrive, how large its head may be, or what happens to
workers that don't stop; subclasses of these two classes add them. Its parser is httptools', which is documented."""

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

__all__ = ["HttpParserUpgrade", "HttpRequestParser", "HttpToolsProtocol", "Multiprocess"]
