"""index.generations as a process reads and writes it: which builds there are, and what becomes of them."""

from index.catalogue import Catalogue
from runtime.kafka import read_topic
from runtime.log_port import Log
from runtime.settings import Settings
from schemas.codec import encode
from schemas.records import Generation
from schemas.topics import GENERATIONS


def read_catalogue(settings: Settings) -> Catalogue:
    """What index.generations says now. Blocks. Raises TransientError, ConfigError."""
    return Catalogue().extended(read_topic(settings, GENERATIONS))


async def append_build(log: Log, record: Generation) -> None:
    """Say in index.generations what a build is from now on."""
    await log.append(GENERATIONS, 0, f"{record.name}-{record.incarnation}", encode(record))
