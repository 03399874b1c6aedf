"""The steps `position` and `cache` of a question: whether its answer is known already, and keeping a new one."""

from dataclasses import dataclass

from index.model import Published
from schemas.errors import UnknownTenantError
from serving.cache import AnswerCache
from serving.core.cache_rules import CacheKey
from serving.core.compose import COMPOSER
from serving.models import QueryResponse
from serving.positions import Positions
from serving.respond import recalled
from serving.turn import Turn


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the cache does not answer: compute at the position read for it, and keep the answer."""

    key: CacheKey
    published: Published


class Recall:
    """Positions and the cache, as the flow uses them; without a cache it knows nothing."""

    def __init__(self, positions: Positions, cache: AnswerCache | None) -> None:
        self._positions = positions
        self._cache = cache

    async def ask(self, turn: Turn) -> Asked | QueryResponse | None:
        """The answer at the newest position, or what to keep one by; None where the cache has no part in it.

        Raises TransientError, BrokenIndexError.
        """
        if self._cache is None:
            return None
        reason = _bypass(turn)
        if reason is not None:
            self._cache.bypass(reason)
            return None
        try:
            with turn.steps.step("position"):
                published = await self._positions.newest(turn.caller.tenant)
        except UnknownTenantError:
            return None  # the flow meets it again, and refuses
        key = _key(turn)
        with turn.steps.step("cache"):
            known = await self._cache.find(key, published)
        return Asked(key, published) if known is None else recalled(turn, known, published)

    def keep(self, asked: Asked, answer: QueryResponse) -> None:
        """Store an answer that was read from the index at the position asked for, a refusal as well."""
        if self._cache is not None and answer.position is not None and answer.position.seq == asked.published.seq:
            self._cache.keep(asked.key, asked.published, answer)


def _bypass(turn: Turn) -> str | None:
    """Why the cache is not asked: who looks at the past or behind the answer wants it computed."""
    ask = turn.ask
    if not ask.use_cache:
        return "asked"
    if ask.as_of is not None:
        return "as_of"
    return "debug" if ask.debug else None


def _key(turn: Turn) -> CacheKey:
    return CacheKey(
        tenant=turn.caller.tenant,
        principals=turn.caller.principals,
        filters=turn.ask.filters,
        top_k=turn.ask.top_k,
        route=turn.route.value,
        composer=COMPOSER,
        question=turn.ask.question,
    )
