"""Inputs: the kinds of fields that clients send, each with its rule, and what every input has in common.

An input is one pydantic class. GraphQL shows its fields and descriptions; a check reports every wrong field at once."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Self, cast
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from pydantic_extra_types.country import CountryAlpha2
from pydantic_extra_types.currency_code import Currency as CurrencyCode
from pydantic_extra_types.domain import DomainStr

from app.errors import BadUserInput, InputIssue, InvalidInput, StaleVersion
from app.global_ids import GlobalId, key_in, split_global_id

MAX_STOCK = 1_000_000_000  # far enough below what an integer column holds for every cancelled order to be added
CENT = Decimal("0.01")
_MAX_SEARCH = 500
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode's categories Cc and Cs
_MALFORMED_ID = "global_id"

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


def normalized_email(text: str) -> str | None:
    """Return the form of this email address under which accounts are kept; None if it isn't an address."""
    try:
        # Test domains are allowed: the address isn't written to, so nothing is guessed about it.
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError:
        return None


def _email(value: str) -> str:
    email = normalized_email(value)
    if email is None:
        raise ValueError("must be an email address, such as ada@example.com")
    return email


def _to_cents(value: Decimal) -> Decimal:
    return value.quantize(CENT) + 0  # which turns -0.00 into the 0.00 that it is read back as


def _key(type_name: str, value: str | UUID) -> UUID:
    try:
        return value if isinstance(value, UUID) else key_in(type_name, value)
    except ValueError as failure:
        raise PydanticCustomError(_MALFORMED_ID, "{reason}", {"reason": str(failure)}) from None


def _any_id(value: str) -> str:
    try:
        split_global_id(value)
    except ValueError as failure:
        raise PydanticCustomError(_MALFORMED_ID, "{reason}", {"reason": str(failure)}) from None
    return value


def _search(value: str | None) -> str | None:
    """Return the trimmed text of a filter; None if it is blank and so restricts nothing."""
    trimmed = (value or "").strip()
    if "\0" in trimmed:
        raise ValueError("must not contain control characters")
    if len(trimmed) > _MAX_SEARCH:
        raise ValueError(f"must have at most {_MAX_SEARCH} characters")
    return trimmed or None


def _code(value: str | None) -> str | None:
    found = _search(value)
    return found and found.upper()


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
UserId = Annotated[UUID, BeforeValidator(partial(_key, "User"))]
StoreId = Annotated[UUID, BeforeValidator(partial(_key, "Store"))]
ProductId = Annotated[UUID, BeforeValidator(partial(_key, "Product"))]
OrderId = Annotated[UUID, BeforeValidator(partial(_key, "Order"))]
AnyId = Annotated[GlobalId, AfterValidator(_any_id)]
DISTINCT = AfterValidator(lambda values: tuple(dict.fromkeys(values)))
"""Each value of a list once: clients may repeat one more often than a statement can have parameters."""
SearchText = Annotated[str | None, BeforeValidator(_search)]
CodeText = Annotated[str | None, BeforeValidator(_code)]


def required(description: str) -> Any:
    """Declare a field that clients must send."""
    return Field(description=description)


def optional(description: str) -> Any:
    """Declare a field that clients may leave out; whether it may also be null is for its type to say."""
    # A factory, as a default would be published in the schema: clients could no longer leave the field out.
    return Field(default_factory=_nothing, description=description)


def _nothing() -> Any:
    return None


class Input(BaseModel):
    """What a client sends. Its docstring and its fields' descriptions are those of the schema."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")

    @classmethod
    def check(cls, given: Mapping[str, Any], argument: str = "input") -> Self:
        """Return the input with every value normalized. InvalidInput names every wrong field; BadUserInput names the
        first malformed id."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise cls._failure(argument, error.errors()) from None

    @classmethod
    def defer(cls, given: Mapping[str, Any]) -> Self:
        """Return the input as `check` does, but raise InvalidInput only once anything besides its ids is read. So a
        service that first checks the viewer's permission reveals nothing to others about what is wrong."""
        try:
            return cls.check(given)
        except InvalidInput as failure:
            return cast(Self, _Refused(_ids_in(cls, given), failure))

    @classmethod
    def _failure(cls, argument: str, problems: Sequence[Any]) -> Exception:
        for problem in problems:
            if problem["type"] == _MALFORMED_ID:
                return BadUserInput(_path_of(argument, problem), problem["msg"])
        return InvalidInput([InputIssue(_steps_of(problem), _message_of(problem)) for problem in problems])

    def given(self, *without: str) -> dict[str, Any]:
        """Return the given fields but for these, by their Python names: an absent one stays as it is, a null one is
        cleared."""
        return self.model_dump(exclude_unset=True, exclude=set(without))

    def given_names(self, *without: str) -> tuple[str, ...]:
        """Return the names by which clients know the given fields, but for these."""
        fields = type(self).model_fields.items()
        names = self.model_fields_set - set(without)
        return tuple(field.alias or name for name, field in fields if name in names)


class _Refused:
    """Takes the place of an input that breaks a rule: it has its ids, and raises the failure for anything else."""

    def __init__(self, ids: Mapping[str, UUID], failure: InvalidInput) -> None:
        self.__dict__.update(ids)
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        raise self._failure


def _ids_in(model: type[Input], given: Mapping[str, Any]) -> Mapping[str, UUID]:
    fields = {name: field for name, field in model.model_fields.items() if field.annotation is UUID}
    return {
        name: TypeAdapter(Annotated[(UUID, *field.metadata)]).validate_python(given[field.alias or name])
        for name, field in fields.items()
    }


class Update(Input):
    """Changes to a row that has versions."""

    expected_version: int | None = optional(
        "The version you last read. If it isn't the current version, nothing changes and the mutation returns "
        "`StaleVersion`. Null or omitted: update any version."
    )

    def apply(self, row: Any) -> None:
        """Set the given columns of a row; StaleVersion where the client has read another version than it has now."""
        if self.expected_version not in (None, row.version):
            raise StaleVersion(row.version)
        for name, value in self.given("id", "expected_version").items():
            setattr(row, name, value)


class Filter(Input):
    """Which items of a list to return. A field that is left out or null doesn't restrict it."""

    @classmethod
    def _failure(cls, argument: str, problems: Sequence[Any]) -> Exception:
        return BadUserInput(_path_of(argument, problems[0]), _message_of(problems[0]))


class Direction(Enum):
    """The direction to sort in."""

    ASC = "ASC"
    DESC = "DESC"


class Sort(Filter):
    """How to sort a list."""

    direction: Direction = Field(default=Direction.ASC, description="The direction to sort in. Default: `ASC`.")

    @property
    def descending(self) -> bool:
        """Whether the last comes first."""
        return self.direction is Direction.DESC


class DecimalRange(Filter):
    """A numeric range. An omitted or null bound is open."""

    gte: Decimal | None = optional("Greater than or equal to this value.")
    lte: Decimal | None = optional("Less than or equal to this value.")


class DateTimeRange(Filter):
    """A time range. An omitted or null bound is open."""

    gte: datetime | None = optional("At or after this time.")
    lt: datetime | None = optional("Before this time.")


def _steps_of(problem: Any) -> tuple[str, ...]:
    return tuple(str(step) for step in problem["loc"])


def _path_of(argument: str, problem: Any) -> str:
    return ".".join((argument, *_steps_of(problem)))


def _message_of(problem: Any) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_too_short" and context["min_length"] == 1:
        return "must not be empty"
    if template := _MESSAGES.get(problem["type"]):
        return template.format(**context)
    if "error" in context:
        return str(context["error"])
    return "must not be null" if problem["input"] is None else str(problem["msg"])


def repeated(values: Sequence[Hashable], path: Callable[[int], tuple[str, ...]]) -> list[InputIssue]:
    """Return an issue for each value that occurs earlier in the list; `path` leads to the one at an index."""
    seen: set[Hashable] = set()
    issues = []
    for index, value in enumerate(values):
        if value in seen:
            issues.append(InputIssue(path(index), "must be unique in the list"))
        seen.add(value)
    return issues
