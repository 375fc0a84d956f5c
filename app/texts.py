"""Texts as people write them: one form for what looks the same.

The same characters can be written in several ways in Unicode, and some of them can't be seen at all."""

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: what a reader doesn't see, such as soft hyphens and zero-width spaces.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Unicode's category Zs: the spaces, of whatever width.
SPACES = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
SPACE = re.compile(f"[{SPACES}]")
# Nor does a reader see the Braille pattern without a dot, the characters around annotations, a note without a head, the
# filler of Khitan, and what is no character.
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_SEEN = re.compile(f"[^\\s{INVISIBLE}\u2800\ufff9-\ufffb\U0001d159\U00016fe4{_NONCHARACTERS}]")
_LINE_BREAK = re.compile("\r\n?")
# Those that decompose into marks, but aren't marks themselves: half-width marks of sound, and vowels of Tibetan.
_HIDDEN_MARK = re.compile("[\u0f73\u0f75\u0f81\uff9e\uff9f]")
MOST_MARKS = 30
"""Combining marks in a row, as in the Stream-Safe Text Format (UAX #15): no language needs more, and to sort them takes
a time that is quadratic in their number."""
_TOO_MANY_MARKS = re.compile(rb"[^\0]{%d}" % (MOST_MARKS + 1))
LONGEST_FORM = 4
"""Characters that one character may be written with: it is no use to normalize a text of more."""


def has_too_many_marks(text: str) -> bool:
    """Return whether more combining marks follow one another than `MOST_MARKS`, not counting what can't be seen."""
    if text.isascii():
        return False
    marks = map(unicodedata.combining, _HIDDEN_MARK.sub("\u3099", _INVISIBLE.sub("", text)))
    return _TOO_MANY_MARKS.search(bytes(marks)) is not None


def normalized(text: str) -> str:
    """Return the text in Unicode's form NFC, in which every text is stored."""
    return unicodedata.normalize("NFC", text)


def decomposed_length(text: str) -> int:
    """Return how long the text is in Unicode's form NFKD, from which names are sorted; one character may become 18."""
    return len(unicodedata.normalize("NFKD", text))


def with_plain_line_breaks(text: str) -> str:
    """Return the text with the line breaks of Unix: forms of web pages send those of Windows."""
    return _LINE_BREAK.sub("\n", text)


def is_blank(text: str) -> bool:
    """Return whether a reader sees nothing of the text, or only marks that belong to no letter."""
    return all(unicodedata.category(seen[0]).startswith("M") for seen in _SEEN.finditer(text))


def name_key(name: str) -> str:
    """Return what must be unique of a name: it is the same for names that look the same. The database computes it by
    the function of the same name."""
    return normalized(_INVISIBLE.sub("", SPACE.sub(" ", name)))
