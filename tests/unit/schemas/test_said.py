"""What pydantic finds, as people read it."""

from datetime import datetime

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas.said import said


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    groups: list[str] = []
    since: AwareDatetime = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    kinds: dict[str, str] = {}
    many: int = 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "is missing"),
        ({"name": 1}, "needs text"),
        ({"name": "a", "other": 1}, "is not known here"),
        ({"name": "a", "groups": "b"}, "needs a list, such as [one, other]"),
        ({"name": "a", "kinds": []}, "needs names with values, such as {name: value}"),
        ({"name": "a", "since": "soon"}, "needs a time with a zone, such as 2026-01-10T09:00:00Z"),
        ({"name": "a", "since": "2026-01-10"}, "needs a time with a zone, such as 2026-01-10T09:00:00Z"),
        ({"name": "a", "many": "x"}, "Input should be a valid integer, unable to parse string as an integer"),
    ],
)
def test_a_fault_is_said_without_the_value(given: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Form).validate_python(given)
    assert [said(each) for each in caught.value.errors()] == [message]
