"""Switches off what unstructured would send or say. Writes the environment, reads nothing from it."""

import os

_OPT_OUTS = {"DO_NOT_TRACK": "1", "SCARF_NO_ANALYTICS": "1", "UNSTRUCTURED_DISABLE_NOTICE": "1"}


def silence() -> None:
    """Before unstructured is imported: no telemetry, no notice."""
    os.environ.update(_OPT_OUTS)
