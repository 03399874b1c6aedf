"""The build that questions are answered from, as commands look at it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from index.model import DocumentRow, IndexIdentity
from index.reader import Reader
from index.states import states_at
from index.weaviate import open_build
from runtime.clock import SystemClock
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.identity import Document, Tenant
from streams.generations import read_catalogue


async def live_build(settings: Settings) -> IndexIdentity:
    """What is live. Raises ConfigError where nothing is yet, TransientError."""
    live = (await asyncio.to_thread(read_catalogue, settings)).live
    if live is None:
        raise ConfigError("no index is live: run `millstream up`, which creates one")
    return live.identity


async def live_states(settings: Settings, documents: Iterable[Document]) -> dict[Document, DocumentRow]:
    """What these documents are in the live build; those that it does not know are missing. Raises ConfigError,
    TransientError.
    """
    of_tenant: dict[Tenant, set[Document]] = defaultdict(set)
    for document in documents:
        of_tenant[document.tenant].add(document)
    found: dict[Document, DocumentRow] = {}
    if not of_tenant:
        return found
    index = open_build(settings, await live_build(settings))
    try:
        reader, known = Reader(index, SystemClock()), await index.tenants()
        for tenant in of_tenant.keys() & known:
            published = await reader.position(tenant)
            found |= await states_at(index, published, tenant, of_tenant[tenant], published.seq)
    finally:
        await index.close()
    return found
