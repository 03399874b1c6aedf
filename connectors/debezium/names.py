"""What a captured source is called outside Millstream: its connector, its replication slot and publication, its topic.

A slot and a publication are named from a digest as well: Postgres takes fewer characters than a source's name has, and
two sources, or the same source of two installations, must never share one.
"""

import hashlib
import re

_READABLE = 43


def connector_name(topic_prefix: str, source: str) -> str:
    """Name of the source's connector."""
    return f"{connector_stem(topic_prefix)}{source}"


def connector_stem(topic_prefix: str) -> str:
    """What the names of all connectors of this installation begin with."""
    return f"{topic_prefix}millstream."


def slot_name(topic_prefix: str, source: str) -> str:
    """Name of the source's replication slot, and of its publication: at most 63 of a-z 0-9 _."""
    digest = hashlib.sha256(f"{topic_prefix}\n{source}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "_", f"{topic_prefix}{source}".lower()).strip("_")[:_READABLE]
    return f"millstream_{readable}_{digest}"


def capture_topic(source: str) -> str:
    """Where everything Debezium says about a source lies, without the installation's prefix."""
    return f"cdc.{source}"
