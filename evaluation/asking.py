"""Asks golden questions of a running API, each as its own principal."""

import aiohttp

from evaluation.golden import GoldenQuestion
from evaluation.run import Judged, Outcome, run
from runtime.settings import Settings
from schemas.errors import ConfigError
from serving.auth import issue_token
from serving.models import QueryResponse


async def ask_all(settings: Settings, questions: tuple[GoldenQuestion, ...]) -> tuple[Judged, ...]:
    """Ask one after the other and judge. Raises ConfigError when no API answers."""
    async with aiohttp.ClientSession() as session:
        return await run(questions, lambda question: ask_over_http(settings, session, question))


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
