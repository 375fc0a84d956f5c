"""What inputs may hold: the kinds of fields, each with its rule. A check reports every wrong field at once."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Self

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_extra_types.country import CountryAlpha2
from pydantic_extra_types.currency_code import Currency as CurrencyCode
from pydantic_extra_types.domain import DomainStr

from app.errors import InputIssue, InvalidInput

ABSENT: Any = None
"""The default of a field that may be left out but not be null: a default is not validated."""

MAX_STOCK = 1_000_000_000  # far enough below what an integer column holds for every cancelled order to be added
CENT = Decimal("0.01")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode's categories Cc and Cs

_MESSAGES = {
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "missing": "must be given",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
}


def _without_controls(allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if any(character not in allowed for character in _CONTROLS.findall(value)):
            raise ValueError("must not contain control characters")
        return value

    return AfterValidator(check)


def _expected(kind: Any, message: str) -> AfterValidator:
    """Check a text against a type, and say in our words what was expected."""
    adapter = TypeAdapter(kind)

    def check(value: str) -> str:
        try:
            return str(adapter.validate_python(value.strip()))
        except ValidationError:
            raise ValueError(message) from None

    return AfterValidator(check)


def normalised_email(text: str) -> str | None:
    """Return the one way to write this email address that accounts are kept under; None where it is no address."""
    try:
        # Domains for tests are let in: the address is not written to, and must not be guessed about.
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        return None


def _email(value: str) -> str:
    email = normalised_email(value)
    if email is None:
        raise ValueError("must be an email address, such as ada@example.com")
    return email


def _to_cents(value: Decimal) -> Decimal:
    return value.quantize(CENT) + 0  # which makes -0.00 the 0.00 that it is read back as


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), _without_controls("")]
Paragraphs = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), _without_controls("\n\t")
]
Email = Annotated[str, AfterValidator(_email), StringConstraints(max_length=254)]
Password = Annotated[str, StringConstraints(min_length=8, max_length=200), _without_controls(""), Field(repr=False)]
Price = Annotated[Decimal, Field(ge=0, le=Decimal("9999999999.99"), decimal_places=2), AfterValidator(_to_cents)]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK)]
Quantity = Annotated[int, Field(ge=1, le=10_000)]
Currency = Annotated[str, _expected(CurrencyCode, "must be a currency of ISO 4217, such as EUR")]
Country = Annotated[str, _expected(CountryAlpha2, "must be a country of ISO 3166-1 alpha-2, such as DE")]
Domain = Annotated[str, _expected(DomainStr, "must be a domain name, such as shop.example.com")]
_PHONE = Annotated[str, StringConstraints(pattern=r"^\+?\(?[0-9][0-9 ()./-]{3,30}$")]
Phone = Annotated[str, _expected(_PHONE, "must be a phone number, such as +49 30 1234567")]


class Input(BaseModel):
    """The rules of one input. Fields are those of the GraphQL input, so that a failure names them as it does."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Self:
        """Return the input with every value normalised; InvalidInput names every wrong field."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidInput([_issue(problem) for problem in error.errors()]) from None

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given: an absent one stays as it is, a null one is cleared."""
        return self.model_dump(exclude_unset=True)

    def given_fields(self) -> tuple[str, ...]:
        """Return the names that clients know the given fields by."""
        fields = type(self).model_fields.items()
        return tuple(field.alias or name for name, field in fields if name in self.model_fields_set)


def _issue(problem: Any) -> InputIssue:
    context = problem.get("ctx", {})
    if problem["type"] == "string_too_short" and context["min_length"] == 1:
        message = "must not be empty"
    elif template := _MESSAGES.get(problem["type"]):
        message = template.format(**context)
    elif "error" in context:
        message = str(context["error"])
    elif problem["input"] is None:
        message = "must not be null"
    else:
        message = problem["msg"]
    return InputIssue(path=tuple(str(step) for step in problem["loc"]), message=message)


def repeated(values: Sequence[Hashable], path: Callable[[int], tuple[str, ...]]) -> list[InputIssue]:
    """Return an issue for each value that stands in the list before; `path` leads to the one at an index."""
    seen: set[Hashable] = set()
    issues = []
    for index, value in enumerate(values):
        if value in seen:
            issues.append(InputIssue(path(index), "must be unique in the list"))
        seen.add(value)
    return issues
