"""What is wrong with a YAML file, in one line that names the place: for start-up errors."""

import yaml
from pydantic import ValidationError

from schemas.said import said


def read_yaml(text: str) -> object:
    """What a YAML text says. Raises yaml.YAMLError and nothing else: the library lets errors of a value through, such
    as a thirteenth month's, and of deep nesting.
    """
    try:
        return yaml.safe_load(text)
    except ValueError as error:
        raise yaml.YAMLError(f"a value is none of its kind: {error}") from None
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def one_line(file: str, error: yaml.YAMLError | ValidationError) -> str:
    """`file`, the line or the field, and the problem."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        return f"{file}, {where}: {said(first)}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{file}, line {error.problem_mark.line + 1}: not YAML: {error.problem}"
    return f"{file} is not YAML: {str(error).splitlines()[0]}"
