"""Judges what a cache gave: was it right, and how often could one have been given. Pure.

An answer out of the cache is compared with the one computed anew at its position. Beside that the commits say it alone:
between the position an answer was computed at and the one it is given at there may be none whose acl, before or after,
meets the asker's principals.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from benchmarks.cache_changes import AUDIENCES, Asked
from benchmarks.load import Reply
from schemas.identity import PUBLIC, USER_PREFIX
from schemas.records import Commit


def principals(audience: int, reader: str) -> frozenset[str]:
    """Whom an acl may name to let the asker read."""
    return frozenset({*AUDIENCES[audience], PUBLIC, USER_PREFIX + reader})


@dataclass(frozen=True, slots=True)
class Given:
    """An answer in the order of its position, then of its arrival; `anew` where it was computed again."""

    asked: Asked
    reply: Reply
    anew: Reply | None = None

    @property
    def seq(self) -> int:
        """Its position."""
        return self.reply.seq or 0


@dataclass
class Verdict:
    """Counts of answers."""

    cached: int = 0
    computed: int = 0
    compared: int = 0
    """Cached answers with one computed anew at the same position beside them."""
    same: int = 0
    stale: int = 0
    """They differ, and a commit since the answer was computed changed a document that one of them cites."""
    ranked_otherwise: int = 0
    """They differ, and nothing they cite has changed: the store scores words by all rows, those of others included."""
    moved_on: int = 0
    """Not comparable: the document was changed again before the answer was computed anew."""
    rule_broken: int = 0
    """Given across a commit that meets the asker's principals."""
    unknown_origin: int = 0
    """Nobody was ever given it as computed."""
    could_hit: int = 0
    """Computed answers equal to the last one before: an oracle's cache would have given that."""
    spoiled: list[str] = field(default_factory=list)
    """What is wrong, in words without text."""

    @property
    def hit_rate(self) -> float:
        """Share of answers out of the cache."""
        return self.cached / max(1, self.cached + self.computed)

    @property
    def of_oracle(self) -> float:
        """Hits as a share of an oracle's."""
        return self.cached / max(1, self.cached + self.could_hit)


def judge(given: Sequence[Given], commits: Iterable[Commit], reader: str) -> Verdict:
    """Judge answers of one run; `commits` are all of its tenant since before the first."""
    log = sorted(commits, key=lambda commit: commit.seq)
    verdict = Verdict()
    by_question: defaultdict[Asked, list[Given]] = defaultdict(list)
    for one in given:
        by_question[one.asked].append(one)
    for asked, answers in by_question.items():
        computed = [one for one in answers if not one.reply.is_cached]
        verdict.computed += len(computed)
        verdict.could_hit += _repeated(sorted(answers, key=lambda one: one.seq))
        meets = principals(asked.audience, reader)
        for one in answers:
            if one.reply.is_cached:
                verdict.cached += 1
                _judge_one(verdict, one, computed, log, meets)
    return verdict


def _repeated(answers: Sequence[Given]) -> int:
    """Computed answers that say what the one before says already."""
    return sum(
        not later.reply.is_cached and _says(later.reply) == _says(earlier.reply) for earlier, later in pairwise(answers)
    )


def _judge_one(
    verdict: Verdict, one: Given, computed: Sequence[Given], log: Sequence[Commit], meets: frozenset[str]
) -> None:
    since = max(
        (known.seq for known in computed if known.seq <= one.seq and _says(known.reply) == _says(one.reply)),
        default=None,
    )
    if since is None:
        verdict.unknown_origin += 1
        verdict.spoiled.append(f"position {one.seq}: nobody was given this answer as computed")
        return
    crossed = [commit for commit in log if since < commit.seq <= one.seq]
    if any(meets & {*(commit.acl_before or ()), *commit.acl_after} for commit in crossed):
        verdict.rule_broken += 1
        verdict.spoiled.append(f"position {one.seq}: computed at {since}, a commit between meets the principals")
    if one.anew is not None:
        _compare(verdict, one, one.anew, crossed, [commit for commit in log if commit.seq > one.seq])


def _compare(verdict: Verdict, one: Given, anew: Reply, crossed: Collection[Commit], later: Collection[Commit]) -> None:
    verdict.compared += 1
    cited = {*one.reply.sources, *anew.sources}
    if _says(one.reply) == _says(anew):
        verdict.same += 1
    elif any(commit.doc_id in cited for commit in crossed):
        verdict.stale += 1
        verdict.spoiled.append(f"position {one.seq}: {sorted(cited)} changed since it was computed")
    elif any(commit.doc_id in cited for commit in later):
        verdict.moved_on += 1
    else:
        verdict.ranked_otherwise += 1


def _says(reply: Reply) -> tuple[str, str, tuple[str, ...]]:
    return reply.answer, reply.reason, reply.evidence
