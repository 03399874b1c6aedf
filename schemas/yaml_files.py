"""What is wrong with a YAML file, in one line that names the place: for start-up errors."""

import yaml
from pydantic import ValidationError


def one_line(file: str, error: yaml.YAMLError | ValidationError) -> str:
    """`file`, the line or the field, and the problem."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        return f"{file}, {where}: {first['msg'].removeprefix('Value error, ')}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{file}, line {error.problem_mark.line + 1}: not YAML: {error.problem}"
    return f"{file} is not YAML: {str(error).splitlines()[0]}"
