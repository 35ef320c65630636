"""One call to Smartcar: with a token, within the allowed addresses, its refusal as a `Failure`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fleet.lib import outbound
from fleet.lib.outbound import Answer
from integrations.sources.smartcar import allowance, tokens
from integrations.sources.smartcar.configuration import configuration
from integrations.sources.smartcar.conversions import dict_of
from integrations.sources.smartcar.failures import Failure, Retry, failure_of

READ_SECONDS = 60.0
COMMAND_SECONDS = 240.0
"""Commands take minutes; over about 175 s the answer begins with 202 and ends with the outcome."""
PAGE = 100
MOST_PAGES = 50


@dataclass(frozen=True)
class RemoteVehicle:
    """A vehicle of an account, as the maker's cloud tells of it."""

    remote_id: str
    connection_id: str = ""
    user_id: str = ""
    external_id: str = ""
    make: str = ""
    model: str = ""
    year: int | None = None
    powertrain: str = ""
    permissions: tuple[str, ...] = field(default_factory=tuple)


def application_call(
    method: str, url: str, body: Any, seconds: float, parameters: dict[str, str] | None = None, user_id: str = ""
) -> Answer:
    """A call with the application's token; raises `Failure`."""
    headers = {"sc-user-id": user_id} if user_id else {}
    return call_with_token(tokens.application_token, method, url, headers, body, seconds, parameters)


def call_with_token(
    token_of: Callable[[str], str], method: str, url: str, headers: dict[str, str], body: Any, seconds: float,
    parameters: dict[str, str] | None,
) -> Answer:  # fmt: skip
    """Call with a token; where it is refused, once more with another.

    Args:
        token_of: gives a token that is not the one it is given.

    Raises:
        Failure: Smartcar refuses, or does not answer.
    """
    spent = ""
    while True:
        token = token_of(spent)
        try:
            answer = outbound.call(
                method, url, allowed=configuration().origins, headers={**headers, "Authorization": f"Bearer {token}"},
                seconds=seconds, json=body, parameters=parameters,
            )  # fmt: skip
        except outbound.OutboundError as error:
            raise Failure(504, "UPSTREAM", "NO_RESPONSE", str(error)) from None
        if answer.status < 400:
            return answer
        failure = failure_of(answer)
        if failure.type == "RATE_LIMIT" and failure.code != "VEHICLE":
            allowance.pause(failure.retry_after)
        if failure.retry is not Retry.TOKEN or spent:
            raise failure
        spent = token


def listed(answer: Answer, name: str) -> list[Any]:
    """The list that an answer has under a name; raises `Failure` where it has none."""
    found = dict_of(answer.json()).get(name)
    if not isinstance(found, list):
        raise Failure(502, "UPSTREAM", "INVALID_DATA", "Smartcar's answer is not what it documents.")
    return found


@contextmanager
def tolerating(status: int) -> Iterator[None]:
    """Take one status for success: what is asked for holds already."""
    try:
        yield
    except Failure as failure:
        if failure.status != status:
            raise


def words_in(value: Any) -> tuple[str, ...]:
    """The texts in a list."""
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()
