"""`python -m evaluation`: asks the golden questions of a running API, as each question's own principal, and counts.

Needs examples/ loaded and the settings that `millstream up` writes. Exit status 1 when a forbidden string was
said or an expected refusal was answered; wrong answers are counted, not failed.
"""

import asyncio
import sys

import aiohttp

from evaluation.golden import GoldenQuestion, load_golden
from evaluation.run import Judged, Outcome, run, score
from runtime.settings import Settings, load_settings
from schemas.errors import ConfigError
from serving.auth import issue_token
from serving.models import QueryResponse


async def ask_over_http(settings: Settings, session: aiohttp.ClientSession, question: GoldenQuestion) -> Outcome:
    """One question to the API of these settings. Raises ConfigError when it gives no response."""
    token = issue_token(settings, question.tenant, question.subject, question.groups)
    url = f"http://{settings.api_host}:{settings.api_port}/v1/query"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with session.post(url, json={"question": question.question}, headers=headers) as response:
            body = await response.read()
            if response.status != 200:
                raise ConfigError(f"the API gave status {response.status} to golden question {question.id}")
    except aiohttp.ClientError as error:
        raise ConfigError(f"no API at {url} ({type(error).__name__}): run `millstream up`") from None
    return outcome_of(QueryResponse.model_validate_json(body))


def outcome_of(response: QueryResponse) -> Outcome:
    """What a reader of the response sees."""
    return Outcome(
        answer=response.answer,
        refusal=None if response.refusal is None else response.refusal.reason.value,
        documents=tuple(f"{citation.source}/{citation.doc_id}" for citation in response.citations),
        text="\n".join(
            [
                response.answer or "",
                response.refusal.detail if response.refusal is not None else "",
                *(f"{citation.title}\n{citation.quote}" for citation in response.citations),
            ]
        ),
        server_ms=response.timings_ms["total"],
    )


async def _ask_all(settings: Settings) -> tuple[Judged, ...]:
    async with aiohttp.ClientSession() as session:
        return await run(load_golden().questions, lambda question: ask_over_http(settings, session, question))


def main() -> int:
    """Print what is wrong and the score."""
    try:
        judged = asyncio.run(_ask_all(load_settings()))
    except ConfigError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return 1
    for one in judged:
        if not one.is_right:
            print(f"{one.question.id}: {'; '.join(one.faults)}")
    print(score(judged))
    return 1 if any(_is_unsafe(one) for one in judged) else 0


def _is_unsafe(one: Judged) -> bool:
    return not one.is_right and (
        one.question.expect == "refusal" or any(fault.startswith("says") for fault in one.faults)
    )


if __name__ == "__main__":
    sys.exit(main())
