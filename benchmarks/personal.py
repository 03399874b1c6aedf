"""How much of the personal data in generated texts is found, how much is found that is none, and what looking costs.

In this process, without a stack: parsing, looking, deciding and cutting as a parser process and `prepare` do them.
"""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.personal_texts import PersonalText, Truth, personal_texts
from benchmarks.progress import Progress
from benchmarks.quantiles import quantiles
from benchmarks.results import Figure, Setup
from index.embedding.port import Tokens
from schemas.redaction import Kind, Policy, Redaction, policy_of
from streams.core.blocks import ParsedDocument
from streams.core.chunk import chunk
from streams.core.redaction import Finding, Search, chosen, pseudonyms, redact_document
from streams.parse.document import read_document
from streams.redact.find import sighted, warm_up

STEP = "looking for personal data"
_TEXTS_PER_DOCUMENT = 20
_KINDS = tuple(kind for kind in Kind if kind is not Kind.PRIVATE)
_WITHOUT_NAMES = tuple(kind for kind in _KINDS if kind is not Kind.PERSON)
_FIGURES = (
    ("personal_data_without_names", _WITHOUT_NAMES, "every kind but names"),
    ("personal_data", _KINDS, "every kind"),
)
_MEASURES = (
    "milliseconds of one core per kilobyte of one document of {texts} texts: parsing, looking for {kinds}, taking out, "
    "cutting"
)


def measure(count: int, seed: int, tokens: Tokens, look: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Two figures: with every kind, and without names. `tokens` counts as the embedding model does."""
    texts = list(personal_texts(count, seed))
    policy = policy_of(Redaction(profile="strict"))
    warm_up(_KINDS)
    read_document(b"# Warm\n\nUp.", "text/markdown", "warm.md")
    gc.freeze()
    shares, outcomes = _found(texts, policy, progress)
    setup = look()
    settings = {"texts": count, "seed": seed, "kb": round(sum(len(text.text.encode()) for text in texts) / 1024, 1)}
    return [
        setup.figure(
            name,
            quantiles(_times(personal_texts(count, seed + place), kinds, policy, tokens)),
            _MEASURES.format(texts=_TEXTS_PER_DOCUMENT, kinds=said),
            unit="ms/KB",
            stages={},
            outcomes=outcomes,
            settings=settings,
            shares=shares,
        )
        # Texts of their own: sentences that were seen before are not looked at again.
        for place, (name, kinds, said) in enumerate(_FIGURES, 1)
    ]


def _found(
    texts: Sequence[PersonalText], policy: Policy, progress: Progress
) -> tuple[dict[str, float], dict[str, int]]:
    """Shares of values touched by kind, of findings that are none; and their numbers."""
    there, touched, whole = Counter[Kind](), Counter[Kind](), Counter[Kind]()
    findings = false = 0
    for number, text in enumerate(texts):
        document = ParsedDocument(None, None, "text", text.text, ())
        taken = chosen(sighted(document, Search(_KINDS)).text, policy)
        places = {place for finding in taken for place in range(finding.start, finding.end)}
        for truth in text.truths:
            span = range(truth.start, truth.end)
            there[truth.kind] += 1
            touched[truth.kind] += any(place in places for place in span)
            whole[truth.kind] += all(place in places or not text.text[place].isalnum() for place in span)
        findings += len(taken)
        false += sum(not _is_true(finding, text.truths) for finding in taken)
        progress(STEP, number + 1, len(texts))
    shares = {f"touched.{kind}": _share(touched[kind], there[kind]) for kind in _KINDS}
    shares |= {f"whole.{kind}": _share(whole[kind], there[kind]) for kind in _KINDS}
    numbers = {f"values.{kind}": there[kind] for kind in _KINDS} | {"findings": findings, "false": false}
    return shares | {"false": _share(false, findings)}, numbers


def _is_true(finding: Finding, truths: Iterable[Truth]) -> bool:
    return any(finding.start < truth.end and finding.end > truth.start for truth in truths)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _times(texts: Iterable[PersonalText], kinds: tuple[Kind, ...], policy: Policy, tokens: Tokens) -> Iterator[float]:
    """Milliseconds of this thread per kilobyte of each document: what else the machine does is not in it."""
    token = pseudonyms(b"", "bench")
    for body in _bodies(texts):
        begun = time.thread_time()
        found = sighted(read_document(body, "text/markdown", "generated.md"), Search(kinds))
        document, _ = redact_document(found.document, found.text, policy, token)
        chunk(document, "Generated", tokens.token_spans)
        yield (time.thread_time() - begun) * 1e3 / (len(body) / 1024)


def _bodies(texts: Iterable[PersonalText]) -> Iterator[bytes]:
    """Documents of some texts each."""
    waiting: list[str] = []
    for text in texts:
        waiting.append(text.text)
        if len(waiting) == _TEXTS_PER_DOCUMENT:
            yield "\n\n".join(waiting).encode()
            waiting = []
