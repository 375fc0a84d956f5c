"""The longest texts, in characters: what inputs accept, and what a field that returns one can return."""

EMAIL = 254
PASSWORD = 200
LINE = 255
NOTE = 1_000
PARAGRAPHS = 10_000
