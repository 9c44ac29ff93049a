"""A JSON Schema made ready: what a payload breaks, by field, rule and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from eventbus.catalogue.bounds import check_bounds
from eventbus.errors import DeclarationError, FieldError, MissingPackageError
from eventbus.validation import pointer_token, shown

if TYPE_CHECKING:
    import jsonschema_rs

MOST_VIOLATIONS = 20
"""Of one event; a long array may break its rule in every item."""
_MAX_PATTERN_BYTES = 262_144  # of one compiled regular expression


class CompiledSchema:
    """Any thread may use it; compiling takes well below a millisecond, checking microseconds."""

    __slots__ = ("_validator",)

    def __init__(self, schema: Mapping[str, Any], *, may_recur: bool = True) -> None:
        """Raises DeclarationError for what is no schema, refers to another document, is too large
        or, unless it ``may_recur``, to itself; MissingPackageError without the validator."""
        rs = _validator_package()
        check_bounds(schema, may_recur=may_recur)
        try:
            rs.meta.validate(dict(schema))
            self._validator: Any = rs.Draft202012Validator(
                dict(schema),
                validate_formats=True,
                retriever=_never,
                # The engine whose time is linear in the text, whatever the expression is.
                pattern_options=rs.RegexOptions(
                    size_limit=_MAX_PATTERN_BYTES, dfa_size_limit=_MAX_PATTERN_BYTES
                ),
            )
        except rs.ValidationError as error:
            pointer = "/schema" + _pointer(error.instance_path)
            raise DeclarationError([FieldError(pointer, _sentence(error.message))]) from None
        except Exception as error:  # the package raises several kinds, for patterns and references
            raise DeclarationError([FieldError("/schema", _sentence(str(error)))]) from None

    def allows(self, data: Any) -> bool:
        """Whether a payload keeps to it."""
        return bool(self._validator.is_valid(data))

    def violations(self, data: Any) -> list[FieldError]:
        """What the payload breaks, at most some; pointers begin with ``/data``."""
        found: list[FieldError] = []
        for error in islice(self._validator.iter_errors(data), MOST_VIOLATIONS):
            found += islice(_violations(error), MOST_VIOLATIONS - len(found))
        return found


def _never(uri: str) -> Any:
    raise ValueError(f"{uri!r} is not fetched: a schema must have all of itself in it")


def _validator_package() -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise MissingPackageError(
            "checking payloads against schemas needs jsonschema-rs: pip install 'eventbus[schemas]'"
        ) from None
    return jsonschema_rs


def _violations(error: jsonschema_rs.ValidationError) -> Iterator[FieldError]:
    """One for each field: a missing one is told where it should be."""
    where = "/data" + _pointer(error.instance_path)
    name = error.kind.name
    told = error.kind.as_dict()
    if name == "required":
        yield FieldError(f"{where}/{pointer_token(str(told['property']))}", "is required")
    elif name in ("additionalProperties", "unevaluatedProperties"):
        for each in told["unexpected"]:
            yield FieldError(
                f"{where}/{pointer_token(str(each))}", f"is no field that is allowed here ({name})"
            )
    elif name == "falseSchema":
        yield FieldError(where, "must not be there")
    elif name == "type":
        kinds = " or ".join(_KINDS.get(kind, kind) for kind in told["types"])
        yield FieldError(where, f"must be {kinds}, not {shown(error.instance)}")
    elif name == "enum":
        options = told["options"]
        listed = ", ".join(shown(option) for option in options[:10])
        more = f" and {len(options) - 10} more" if len(options) > 10 else ""
        yield FieldError(where, f"must be one of {listed}{more}, not {shown(error.instance)}")
    elif name == "const":
        (wanted,) = told.values()
        yield FieldError(where, f"must be {shown(wanted)} (const), not {shown(error.instance)}")
    elif name in _LIMITS:
        yield FieldError(where, f"{_LIMITS[name].format(*told.values())} ({name}), "
                                f"not {_measured(name, error.instance)}")  # fmt: skip
    elif name == "pattern":
        yield FieldError(
            where, f"must match {told['pattern']} (pattern), not {shown(error.instance)}"
        )
    elif name == "format":
        kind = told["format"]
        yield FieldError(
            where, f"must be {_FORMATS.get(kind, kind)} (format), not {shown(error.instance)}"
        )
    else:
        yield FieldError(where, f"{_sentence(error.message)} ({name})")


_KINDS = {
    "object": "an object", "array": "an array", "string": "text", "number": "a number",
    "integer": "a whole number", "boolean": "true or false", "null": "null",
}  # fmt: skip
_FORMATS = {
    "date-time": "an RFC 3339 date-time", "date": "a date like 2026-11-24", "time": "a time",
    "email": "an e-mail address", "uri": "a URI", "uuid": "a UUID", "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address", "hostname": "a host name",
}  # fmt: skip
_LIMITS = {
    "minimum": "must be at least {}", "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}", "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters", "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items", "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} fields", "maxProperties": "must have at most {} fields",
}  # fmt: skip


def _measured(name: str, value: Any) -> str:
    is_size = name.startswith(("min", "max")) and hasattr(value, "__len__")
    return str(len(value)) if is_size else shown(value)


def _pointer(path: list[str | int]) -> str:
    return "".join(f"/{pointer_token(str(part))}" for part in path[:64])


def _sentence(text: str) -> str:
    first = text.strip().partition("\n")[0].encode("utf-8", "backslashreplace").decode()
    return first if len(first) <= 300 else first[:297] + "..."
