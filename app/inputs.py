"""Inputs: the kinds of fields that clients send, each with its rule, and what every input has in common.

An input is one pydantic class. GraphQL shows its fields and descriptions; a check reports every wrong field at once."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, NewType, Self, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from pydantic_extra_types.country import CountryAlpha2
from pydantic_extra_types.currency_code import Currency as IsoCurrency
from pydantic_extra_types.domain import DomainStr

from app.contacts import (
    LONGEST_PHONE,
    ascii_domain,
    needs_postcode,
    normalized_email,
    normalized_phone,
    normalized_postcode,
)
from app.currencies import MOST_DECIMALS, in_currency
from app.errors import BadUserInput, InputIssue, InputIssueCode, InvalidInput, StaleVersion
from app.global_ids import GlobalId, key_in, split_global_id
from app.lengths import EMAIL, LINE, NOTE, PARAGRAPHS, PASSWORD
from app.texts import (
    LONGEST_FORM,
    MOST_MARKS,
    decomposed_length,
    has_too_many_marks,
    is_blank,
    normalized,
    with_plain_line_breaks,
)

CurrencyCode = NewType("CurrencyCode", str)
CountryCode = NewType("CountryCode", str)

MAX_STOCK = 1_000_000_000  # far enough below what an integer column holds for every cancelled order to be added
MAX_PRICE = Decimal("9999999999.99")
_MAX_SEARCH = 500
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")  # Unicode's categories Cc, Cs, Zl and Zp
_BREAKS = "\n\t\u2028\u2029"
_MALFORMED_ID = "global_id"
_LONGEST_DECOMPOSED = 3 * LINE  # a syllable of Korean has three letters
_A_DOMAIN = "must be a domain name, such as shop.example.com"

_RULES = {
    "string_too_short": (InputIssueCode.TOO_SHORT, "must have at least {min_length} characters"),
    "string_too_long": (InputIssueCode.TOO_LONG, "must have at most {max_length} characters"),
    "missing": (InputIssueCode.REQUIRED, "must be given"),
    "greater_than_equal": (InputIssueCode.TOO_SMALL, "must be at least {ge}"),
    "less_than_equal": (InputIssueCode.TOO_LARGE, "must be at most {le}"),
    "too_short": (InputIssueCode.TOO_FEW, "must have {min_length} or more items"),
    "too_long": (InputIssueCode.TOO_MANY, "must have at most {max_length:,} items"),
}


def _broken(code: InputIssueCode, message: str) -> PydanticCustomError:
    """Return what a validator raises for a value that breaks this rule."""
    return PydanticCustomError(code.value, "{message}", {"message": message})


def _without_controls(allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if any(character not in allowed for character in _CONTROLS.findall(value)):
            raise _broken(InputIssueCode.CONTROL_CHARACTERS, "must not contain control characters")
        return value

    return AfterValidator(check)


def _expected(kind: Any, message: str) -> AfterValidator:
    """Check a text against a type, and say in our words what was expected."""
    adapter = TypeAdapter(kind)

    def check(value: str) -> str:
        try:
            return str(adapter.validate_python(value.strip()))
        except ValidationError:
            raise _broken(InputIssueCode.MALFORMED, message) from None

    return AfterValidator(check)


def _email(value: str) -> str:
    email = normalized_email(value, strict=True)
    if email is None:
        raise _broken(InputIssueCode.MALFORMED, "must be an email address, such as ada@example.com")
    return email


def _form_of(change: Callable[[str], str], longest: int) -> BeforeValidator:
    """Change a text before its length is checked, unless that would take too long."""

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        trimmed = value.strip()
        if len(trimmed) > LONGEST_FORM * longest:
            raise _too_long(longest)
        return change(_with_few_marks(trimmed))

    return BeforeValidator(check)


def _with_few_marks(value: str) -> str:
    if has_too_many_marks(value):
        raise _broken(InputIssueCode.MALFORMED, f"must not have more than {MOST_MARKS} combining marks in a row")
    return value


def _too_long(longest: int) -> PydanticCustomError:
    return _broken(InputIssueCode.TOO_LONG, f"must have at most {longest} characters")


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


def _paragraphs(value: str) -> str:
    return with_plain_line_breaks(normalized(value))


def _visible(value: str) -> str:
    if is_blank(value):
        raise _broken(InputIssueCode.EMPTY, "must not be empty")
    return value


def _short_when_decomposed(value: str) -> str:
    if decomposed_length(value) > _LONGEST_DECOMPOSED:
        message = f"must have at most {LINE} characters, and {_LONGEST_DECOMPOSED} in Unicode's form NFKD"
        raise _broken(InputIssueCode.TOO_LONG, message)
    return value


def _domain(value: str) -> str:
    try:
        return ascii_domain(value)
    except ValueError:
        raise _broken(InputIssueCode.MALFORMED, _A_DOMAIN) from None


def _phone(value: str) -> str:
    phone = normalized_phone(value)
    if phone is None:
        raise _broken(InputIssueCode.MALFORMED, "must be a phone number, such as +49 30 1234567")
    return phone


def _postcode(value: str) -> str:
    postcode = normalized_postcode(value)
    if postcode is None:
        raise _broken(InputIssueCode.MALFORMED, "must be a postal code, such as 10115 or SW1A 1AA")
    return postcode


def _needed_by_country(postcode: str | None, info: ValidationInfo) -> str | None:
    country = info.data.get("country")
    if postcode is None and country is not None and needs_postcode(country):
        raise _broken(InputIssueCode.REQUIRED, f"must be given in {country}")
    return postcode


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
        raise _broken(InputIssueCode.CONTROL_CHARACTERS, "must not contain control characters")
    if len(trimmed) > _MAX_SEARCH:
        raise _too_long(_MAX_SEARCH)
    return _with_few_marks(trimmed) or None


def _price(value: Decimal, info: ValidationInfo) -> Decimal:
    """Return the price with the decimals of the currency, once that is known."""
    try:
        if info.context is not None:
            return in_currency(value, info.context)
    except ValueError as failure:
        raise _broken(InputIssueCode.TOO_MANY_DECIMALS, str(failure)) from None
    if value != round(value, MOST_DECIMALS):
        raise _broken(InputIssueCode.TOO_MANY_DECIMALS, f"must have at most {MOST_DECIMALS} decimals")
    return value


def _code(value: str | None) -> str | None:
    found = _search(value)
    return found and found.upper()


Line = Annotated[
    str,
    _text(LINE),
    _form_of(normalized, LINE),
    _without_controls(""),
    AfterValidator(_visible),
    AfterValidator(_short_when_decomposed),
]
Paragraphs = Annotated[
    str, _text(PARAGRAPHS), _form_of(_paragraphs, PARAGRAPHS), _without_controls(_BREAKS), AfterValidator(_visible)
]
Note = Annotated[str, _text(NOTE), _form_of(_paragraphs, NOTE), _without_controls(_BREAKS), AfterValidator(_visible)]
Email = Annotated[str, AfterValidator(_email), StringConstraints(max_length=EMAIL)]
Password = Annotated[
    str, StringConstraints(min_length=8, max_length=PASSWORD), _without_controls("\u2028\u2029"), Field(repr=False)
]
Price = Annotated[Decimal, Field(ge=0, le=MAX_PRICE), AfterValidator(_price)]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK)]
Quantity = Annotated[int, Field(ge=1, le=10_000)]
Currency = Annotated[CurrencyCode, _expected(IsoCurrency, "must be a currency of ISO 4217, such as EUR")]
Country = Annotated[CountryCode, _expected(CountryAlpha2, "must be a country of ISO 3166-1 alpha-2, such as DE")]
Domain = Annotated[str, AfterValidator(_domain), _expected(DomainStr, _A_DOMAIN)]
Phone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_PHONE), AfterValidator(_phone)]
Postcode = Annotated[Line, AfterValidator(_postcode)]
PostcodeIfNeeded = Annotated[Postcode | None, AfterValidator(_needed_by_country)]
"""A postcode that may be left out if the country, an earlier field, needs none."""
UserId = Annotated[UUID, BeforeValidator(partial(_key, "User"))]
StoreId = Annotated[UUID, BeforeValidator(partial(_key, "Store"))]
ProductId = Annotated[UUID, BeforeValidator(partial(_key, "Product"))]
OrderId = Annotated[UUID, BeforeValidator(partial(_key, "Order"))]
StoreOrderId = Annotated[UUID, BeforeValidator(partial(_key, "StoreOrder"))]
OrderItemId = Annotated[UUID, BeforeValidator(partial(_key, "OrderItem"))]
AnyId = Annotated[GlobalId, AfterValidator(_any_id)]
DISTINCT = AfterValidator(lambda values: tuple(dict.fromkeys(values)))
"""Each value of a list once: clients may repeat one more often than a statement can have parameters."""
SearchText = Annotated[str | None, BeforeValidator(_search)]
AnyCurrency = Annotated[CurrencyCode | None, BeforeValidator(_code)]
AnyCountry = Annotated[CountryCode | None, BeforeValidator(_code)]


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
    def check(cls, given: Mapping[str, Any], argument: str = "input", currency: str | None = None) -> Self:
        """Return the input with every value normalized, prices in this currency. InvalidInput names every wrong field;
        BadUserInput names the first malformed id."""
        try:
            return cls.model_validate(given, context=currency)
        except ValidationError as error:
            raise cls._failure(argument, error.errors()) from None

    @classmethod
    def defer(cls, given: Mapping[str, Any]) -> Self:
        """Return the input as `check` does, but raise InvalidInput only once anything besides its ids is read. So a
        service that first checks the viewer's permission reveals nothing to others about what is wrong. Ids within
        lists aren't kept: an input of several objects is checked first."""
        try:
            return cls.check(given)
        except InvalidInput as failure:
            return cast(Self, _Refused(cls, given, failure))

    def in_currency(self, currency: str) -> Self:
        """Return the input with its prices in this currency. InvalidInput names every wrong field, each price that has
        more decimals than the currency included."""
        return self.check(self.given(), currency=currency)

    @classmethod
    def _failure(cls, argument: str, problems: Sequence[Any]) -> Exception:
        for problem in problems:
            if problem["type"] == _MALFORMED_ID:
                return BadUserInput((argument, *_steps_of(problem)), problem["msg"])
        return InvalidInput([InputIssue(_steps_of(problem), *_rule_of(problem)) for problem in problems])

    def given(self, *without: str) -> dict[str, Any]:
        """Return the given fields but for these, by their Python names: an absent one stays as it is, a null one is
        cleared."""
        return self.model_dump(exclude_unset=True, exclude=set(without))


class _Refused:
    """Takes the place of an input that breaks a rule: it has its ids, and raises the failure for anything else."""

    def __init__(self, model: type[Input], given: Mapping[str, Any], failure: InvalidInput) -> None:
        self.__dict__.update(_ids_in(model, given))
        self._model = model
        self._given = given
        self._failure = failure

    def in_currency(self, currency: str) -> Input:
        """Raise InvalidInput, as an input that is checked in this currency does."""
        return self._model.check(self._given, currency=currency)

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

    def changes_of(self, entity: str, row: Any) -> dict[str, Any]:
        """Return the given columns; StaleVersion if the client has read another version of the row than it has now."""
        if self.expected_version not in (None, row.version):
            raise StaleVersion(entity, row)
        return self.given("id", "expected_version")


class Filter(Input):
    """Which items of a list to return. A field that is left out or null doesn't restrict it."""

    @classmethod
    def _failure(cls, argument: str, problems: Sequence[Any]) -> Exception:
        _, message = _rule_of(problems[0])
        return BadUserInput((argument, *_steps_of(problems[0])), message)


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


def _rule_of(problem: Any) -> tuple[InputIssueCode, str]:
    """Return the rule that a value breaks, and what it requires."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "string_too_short" and context["min_length"] == 1:
        return InputIssueCode.EMPTY, "must not be empty"
    if kind in _RULES:
        code, template = _RULES[kind]
        return code, template.format(**context)
    if kind in InputIssueCode.__members__:
        return InputIssueCode(kind), str(problem["msg"])
    if problem["input"] is None:
        return InputIssueCode.REQUIRED, "must not be null"
    return InputIssueCode.MALFORMED, str(problem["msg"])


def repeated(values: Sequence[Hashable], path: Callable[[int], tuple[str, ...]]) -> list[InputIssue]:
    """Return an issue for each value that occurs earlier in the list; `path` leads to the one at an index."""
    seen: set[Hashable] = set()
    issues = []
    for index, value in enumerate(values):
        if value in seen:
            issues.append(InputIssue(path(index), InputIssueCode.NOT_UNIQUE, "must be unique in the list"))
        seen.add(value)
    return issues
