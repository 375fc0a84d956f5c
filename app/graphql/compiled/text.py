"""From the text that Postgres returns to the response.

The text is the response's JSON, but for two things that Postgres would spend much of its time on: its values are not
escaped, and each quotation mark of the JSON itself is the character QUOTE. So the whole text is escaped at once here,
and then QUOTE becomes a quotation mark. A value that held QUOTE itself is found out, for the statement also returns how
many rows there are at each level, and with it how many quotation marks there must be.

Measured with 10 lists of 20 objects: 20 µs here, and 0.2 ms in Postgres, where it takes 0.3 to 0.5 ms to write JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from app.db.texts import QUOTE

_TO_QUOTATION_MARKS = bytes(ord('"') if code == ord(QUOTE) else code for code in range(256))


@dataclass(frozen=True)
class Template:
    """What is known of a response beforehand: how many quotation marks a row brings at each level."""

    quotes: Mapping[str, int]

    def render(self, text: str, rows: Mapping[str, int]) -> bytes | None:
        """Return the response; None where a value holds QUOTE, which the ordinary lane has no trouble with."""
        if text.count(QUOTE) != sum(quotes * rows[level] for level, quotes in self.quotes.items()):
            return None
        return orjson.dumps(text)[1:-1].translate(_TO_QUOTATION_MARKS)
