"""Compare texts as people read them: functions, columns and triggers.

The functions of 2.0.0 stay as they are: its columns and indexes are made with them. Nothing is filled here, so no table
is read or rewritten.

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What a reader doesn't see, without the space of no width, which separates words: Default_Ignorable_Code_Point.
INVISIBLE = (
    r"\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200C-\u200F\u202A-\u202E\u2060-\u206F\u3164\uFE00-\uFE0F"
    r"\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0000-\U000E0FFF"
)
# Marks that people leave out: accents, the vowels of Hebrew and Arabic, and the stretched line of Arabic.
OPTIONAL_MARKS = (
    r"\u0300-\u036F\u0483-\u0487\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7\u0610-\u061A\u0640\u064B-\u065F\u0670"
    r"\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u0898-\u089F\u08CA-\u08FF\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF"
    r"\uFE20-\uFE2F"
)
# All other marks, such as the vowels of Devanagari, with the letters and digits that lie between them.
MARKS = (
    r"\u0711-\u07F3\u07FD\u0816-\u082D\u0859-\u085B\u0900-\u0963\u0981-\u09E3\u09FE-\u0A75\u0A81-\u0AE3\u0AFA-\u0B63"
    r"\u0B82-\u0BD7\u0C00-\u0C63\u0C81-\u0C83\u0CBC-\u0D4D\u0D57-\u0D63\u0D81-\u0DF3\u0E31-\u0E3A\u0E47-\u0E4E\u0EB1-\u0ECD"
    r"\u0F18\u0F19\u0F35\u0F37\u0F39\u0F3E-\u0F84\u0F86-\u0FBC\u0FC6\u102B-\u103E\u1056-\u109D\u135D-\u135F\u1712-\u1734"
    r"\u1752-\u17D3\u17DD\u1885-\u193B\u1A17-\u1A1B\u1A55-\u1A7F\u1B00-\u1B44\u1B6B-\u1B73\u1B80-\u1BF3\u1C24-\u1C37"
    r"\u1CD0-\u1CD2\u1CD4-\u1CF9\u2CEF-\u2CF1\u2D7F-\u2DFF\u302A-\u302F\u3099\u309A\uA66F\uA674-\uA67D\uA69E-\uA6F1"
    r"\uA802-\uA827\uA82C\uA880-\uA8C5\uA8E0-\uA8F1\uA8FF-\uA92D\uA947-\uA953\uA980-\uA9C0\uA9E5-\uAA4D\uAA7B-\uAAC1"
    r"\uAAEB-\uAAEF\uAAF5\uAAF6\uABE3-\uABEA\uABEC\uABED\uFB1E"
)
SPACES = r"\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000"
FUNCTIONS = (
    # A text as it is compared: without case, accents, and what can't be seen; with one kind of apostrophe.
    rf"""
    CREATE FUNCTION plain_text(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN normalize(translate(replace(replace(replace(replace(
        lower(regexp_replace(
            normalize(translate(value, 'ØøŁłĐđĦħıÐð‘’‛′ʹʻʼ＇´`', 'OoLlDdHhiDd'''''''''''''''''''''), NFKD),
            '[{OPTIONAL_MARKS}{INVISIBLE}]', '', 'g'
        )),
        'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), 'ς', 'σ'), NFC)
    """,
    # Its words, with one space in between.
    rf"""
    CREATE FUNCTION words_of(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN btrim(regexp_replace(plain_text(value), '[^[:alnum:]{MARKS}]+', ' ', 'g'))
    """,
    # Each word where it is first: to rank a row takes a time that is quadratic in how often it repeats the words. It is
    # made without Postgres's parser, which knows other words, and with at most 255 characters of each.
    """
    CREATE FUNCTION word_vector(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(string_agg(quote_literal(word) || ':' || least(place, 16383), ' '), '')::tsvector
        FROM (
            SELECT left(word, 255) AS word, min(place) AS place
            FROM unnest(string_to_array(nullif(words_of(value), ''), ' ')) WITH ORDINALITY AS given (word, place)
            GROUP BY 1
        ) AS first
    )
    """,
    # Every word as a prefix: each once, the first 8, and none that another begins with. Each takes time of its own.
    """
    CREATE FUNCTION word_query(value text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        WITH first AS (
            SELECT left(word, 255) AS word, min(place) AS place
            FROM unnest(string_to_array(nullif(words_of(value), ''), ' ')) WITH ORDINALITY AS given (word, place)
            GROUP BY 1 ORDER BY min(place) LIMIT 8
        )
        SELECT string_agg(quote_literal(word) || ':*', ' & ' ORDER BY place)::tsquery FROM first
        WHERE NOT EXISTS (
            SELECT FROM first AS longer WHERE longer.word <> first.word AND starts_with(longer.word, first.word)
        )
    )
    """,
    # What must be unique of a name: it is the same for names that look the same.
    rf"""
    CREATE FUNCTION name_key(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN normalize(regexp_replace(regexp_replace(value, '[{SPACES}]', ' ', 'g'), '[\u200B{INVISIBLE}]', '', 'g'), NFC)
    """,
)
# The words of a row, and the columns that they are found in.
WORDS = {
    "products": "setweight(word_vector($1.name), 'A') || setweight(word_vector(coalesce($1.description, '')), 'B')",
    "stores": "word_vector($1.name)",
}
SEARCHED = {"products": "name, description", "stores": "name"}


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    for table, words in WORDS.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN words tsvector, ADD COLUMN shares_name boolean")
        # Columns that Postgres generates would have rewritten the table.
        op.execute(f"CREATE FUNCTION words_in({table}) RETURNS tsvector LANGUAGE sql STABLE RETURN {words}")
        op.execute(
            f"""
            CREATE FUNCTION find_words_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF TG_OP = 'INSERT' THEN
                    NEW.words := words_in(NEW);
                ELSE
                    UPDATE {table} SET
                        words = words_in(NEW),
                        shares_name = CASE WHEN NEW.name = OLD.name THEN shares_name END
                    WHERE id = NEW.id;
                END IF;
                RETURN NEW;
            END $$
            """
        )
        op.execute(
            f"CREATE TRIGGER find_words BEFORE INSERT ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION find_words_of_{table}()"
        )
        # Not before: with a trigger before updates, Postgres would compute the generated columns at each update, which
        # takes 0.1 ms of each sale.
        changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in SEARCHED[table].split(", "))
        op.execute(
            f"CREATE TRIGGER find_words_again AFTER UPDATE OF {SEARCHED[table]} ON {table}"
            f" FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION find_words_of_{table}()"
        )


def downgrade() -> None:
    for table in WORDS:
        op.execute(f"DROP TRIGGER find_words ON {table}")
        op.execute(f"DROP TRIGGER find_words_again ON {table}")
        op.execute(f"DROP FUNCTION find_words_of_{table}()")
        op.execute(f"DROP FUNCTION words_in({table})")
        op.execute(f"ALTER TABLE {table} DROP COLUMN words, DROP COLUMN shares_name")
    for function in ("name_key", "word_query", "word_vector", "words_of", "plain_text"):
        op.execute(f"DROP FUNCTION {function}(text)")
