"""From the text that Postgres returns to the response.

The text is the response's JSON except for two things that would take Postgres much of its time: its values are not
escaped, and the character QUOTE takes the place of each quotation mark of the JSON itself. So the whole text is escaped
here, at once, and then QUOTE becomes a quotation mark. No value holds QUOTE: `app/db/texts.py` has the database refuse
it, and `safety` refuses a schema that would show any other text.

Measured with 10 lists of 20 objects: 11 µs here, and 0.2 ms in Postgres, where writing JSON takes 0.3 to 0.5 ms.
"""

import orjson

from app.db.texts import QUOTE

_TO_QUOTATION_MARKS = bytes(ord('"') if code == ord(QUOTE) else code for code in range(256))


def rendered(text: str) -> bytes:
    """Return the response that the text stands for."""
    return orjson.dumps(text)[1:-1].translate(_TO_QUOTATION_MARKS)
