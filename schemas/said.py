"""What pydantic finds, in words for whoever wrote the value."""

from collections.abc import Mapping
from typing import Any

_A_TIME = "needs a time with a zone, such as 2026-01-10T09:00:00Z"
_SAID = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "list_type": "needs a list, such as [one, other]",
    "tuple_type": "needs a list, such as [one, other]",
    "dict_type": "needs names with values, such as {name: value}",
    "model_type": "needs names with values, such as {name: value}",
    "string_type": "needs text",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
    "timezone_aware": _A_TIME,
}


def said(detail: Mapping[str, Any]) -> str:
    """One entry of `ValidationError.errors()`, without the value."""
    message: str = detail["msg"]
    return _SAID.get(detail["type"], message.removeprefix("Value error, "))
