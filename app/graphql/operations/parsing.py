"""Parses documents so that they take as little memory as they can, and are freed as soon as nobody uses them."""

from graphql import DocumentNode, Location, Token, TokenKind
from graphql.language.parser import Parser, nested_too_deeply_error

_NO_TOKEN = Token(TokenKind.SOF, 0, 0, 0, 0)


def parsed(text: str, token_limit: int) -> tuple[DocumentNode, int]:
    """Return a document and how many tokens it has; GraphQLSyntaxError if it doesn't parse or has too many tokens."""
    parser = _Parser(text, max_lexical_tokens=token_limit, max_comments=token_limit)
    try:
        document = parser.parse_document()
    except RecursionError:
        document = None
    if document is None:  # raised here, the error doesn't keep the frames of the recursion
        raise nested_too_deeply_error(parser)
    return document, parser.unlinked()


class _Parser(Parser):
    """A parser whose nodes know where they are in the text, but keep none of its tokens, and share their places. Tokens
    and places are over half of the objects that a document consists of, and each takes time at each full garbage
    collection. Tokens refer to one another, too, so all would stay until the next."""

    _first: Token
    _last: Location | None = None

    def loc(self, start_token: Token) -> Location | None:
        """Return where a node is: often where its name is."""
        self._first = start_token  # in the end, that of the document
        location = super().loc(start_token)
        if location is None or location == self._last:
            return self._last
        location.start_token = location.end_token = _NO_TOKEN
        self._last = location
        return location

    def unlinked(self) -> int:
        """Take the tokens of the document apart, and return how many there are."""
        token: Token | None = self._first
        number = 0
        while token is not None:
            following = token.next
            token.prev = token.next = None
            token, number = following, number + 1
        return number
