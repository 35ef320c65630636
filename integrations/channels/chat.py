"""Chats and push services through apprise: only those listed here, and only through the portal's own HTTP.

Apprise's plug-ins call ``requests``; in the modules of the listed ones that name stands for `_Requests`, which goes
through `fleet.lib.safe_http`. So no plug-in reaches an address that the portal would not call itself.
"""

from __future__ import annotations

import importlib
import json as json_of
import threading
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import apprise
import requests

from alerts.channels import Message, Undelivered, keep_secret, secret_of
from alerts.models import Channel
from fleet.accounts.models import User
from fleet.lib import safe_http
from fleet.lib.errors import MotorpoolError
from fleet.lib.outbound import Forbidden, OutboundError

SERVICES = {
    "discord": "discord", "gotify": "gotify", "gotifys": "gotify", "mmost": "mattermost", "mmosts": "mattermost",
    "ntfy": "ntfy", "ntfys": "ntfy", "pover": "pushover", "rocket": "rocketchat",
    "rockets": "rocketchat", "slack": "slack", "tgram": "telegram", "workflow": "workflows", "workflows": "workflows",
}  # fmt: skip
"""By the beginning of the address: the plug-in's module."""
NAMES = "Slack, Teams, Telegram, ntfy, Discord, Mattermost, Rocket.Chat, Gotify, Pushover"
_OPTIONS = {"priority", "tags", "mode", "to", "silent", "topic", "sound", "thread", "channel", "channels", "auth",
            "token", "id", "workflow", "signature", "ver", "sv", "sp", "sig", "api-version"}  # fmt: skip
"""What an address may ask for; others would change how apprise calls, or make it read files."""


GONE = (401, 403, 404, 410)
"""What says that the address or its token is no longer good."""
_last = threading.local()
"""What the service said last in this thread: apprise's log is everybody's."""


class _Response:
    """As much of ``requests.Response`` as the plug-ins read."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status_code = status
        self.content = body
        self.headers = requests.structures.CaseInsensitiveDict(headers)
        self.text = body.decode("utf-8", "replace")
        self.ok = status < 400
        self.reason = ""

    def json(self) -> Any:
        """The body as JSON."""
        return json_of.loads(self.content)

    def close(self) -> None:
        """Nothing is open."""


class _Requests:
    """Stands for the module ``requests`` in a plug-in."""

    codes = requests.codes
    exceptions = requests.exceptions
    RequestException = requests.RequestException
    ConnectionError = requests.ConnectionError
    Timeout = requests.Timeout
    ReadTimeout = requests.ReadTimeout
    utils = requests.utils

    @classmethod
    def request(cls, method: str, url: str, **options: Any) -> _Response:
        """One call, by the portal's rules."""
        headers = {str(k): str(v) for k, v in (options.get("headers") or {}).items()}
        if options.get("params"):
            url += ("&" if "?" in url else "?") + urlencode(options["params"])
        body = options.get("data")
        if isinstance(body, dict):
            body = urlencode(body)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        auth = options.get("auth")
        if isinstance(auth, tuple):
            headers["Authorization"] = requests.auth._basic_auth_str(*auth)
        content = body.encode() if isinstance(body, str) else body
        try:
            answer = safe_http.call(method, url, headers=headers, body=content, json=options.get("json"))
        except OutboundError as error:
            # Without an answer in time it may have arrived.
            _last.words, _last.sure = str(error), "No whole answer" not in str(error)
            raise requests.RequestException(str(error)) from error
        _last.status, _last.words = answer.status, answer.body[:200].decode("utf-8", "replace")
        return _Response(answer.status, answer.body, answer.headers)

    @classmethod
    def post(cls, url: str, **options: Any) -> _Response:
        """POST."""
        return cls.request("POST", url, **options)

    @classmethod
    def get(cls, url: str, **options: Any) -> _Response:
        """GET."""
        return cls.request("GET", url, **options)

    @classmethod
    def put(cls, url: str, **options: Any) -> _Response:
        """PUT."""
        return cls.request("PUT", url, **options)

    @classmethod
    def delete(cls, url: str, **options: Any) -> _Response:
        """DELETE."""
        return cls.request("DELETE", url, **options)

    @classmethod
    def head(cls, url: str, **options: Any) -> _Response:
        """HEAD."""
        return cls.request("HEAD", url, **options)


class ChatChannel:
    """An apprise address; all of it is secret, since such addresses hold tokens."""

    def prepare(self, channel: Channel, config: dict[str, Any], user: User | None) -> None:
        """``{"url"}``, such as ``slack://…`` or ``ntfys://…``."""
        url = config.get("url")
        if not isinstance(url, str) or len(url) > safe_http.LONGEST_URL:
            raise MotorpoolError("config.url is the service's address, such as ntfys://ntfy.sh/topic.", status=422)
        try:
            _plugin(url)
        except Undelivered as error:
            raise MotorpoolError(error.words, status=422) from None
        channel.config = {"service": urlsplit(url).scheme}
        channel.save()
        keep_secret(channel, url)

    def send(self, channel: Channel, message: Message) -> str:
        """Send through the service's plug-in."""
        plugin = _plugin(secret_of(channel))
        words = f"{message.text}\n{message.url}"
        _last.status, _last.words, _last.sure = 0, "", True
        try:
            arrived = plugin.notify(body=words, title=message.subject)
        except Exception as error:
            raise Undelivered(f"{type(error).__name__} in the service's plug-in.") from error
        said = _without_secret(f"{_last.status or ''} {_last.words}".strip(), secret_of(channel))
        if not arrived:
            gone = _last.status in GONE
            raise Undelivered(said or "The service did not take it.", permanent=gone, sure=_last.sure)
        return said


def _plugin(url: str) -> Any:
    """The plug-in for an address; raises `Undelivered` where it is not to be called."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in SERVICES:
        raise Undelivered(
            f"{scheme or 'This'}:// is not a service that this portal sends to ({NAMES}).", permanent=True
        )
    _confine(SERVICES[scheme])
    options = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k.lower() in _OPTIONS]
    options += [("cto", "5"), ("rto", "10"), ("image", "no")]
    asset = apprise.AppriseAsset(async_mode=False, secure_logging=True, storage_mode=apprise.PersistentStoreMode.MEMORY)
    found = apprise.Apprise.instantiate(
        urlunsplit((scheme, parts.netloc, parts.path, urlencode(options), "")), asset=asset, suppress_exceptions=True
    )
    if found is None:
        raise Undelivered("The address is not complete: see the service's page in apprise's documents.", permanent=True)
    try:
        if found.host and scheme in ("gotify", "gotifys", "mmost", "mmosts", "ntfy", "ntfys", "rocket", "rockets"):
            port = f":{found.port}" if found.port else ""
            safe_http.check(f"{'https' if found.secure else 'http'}://{found.host}{port}/")
    except (Forbidden, AttributeError) as error:
        raise Undelivered(str(error), permanent=True) from None
    return found


@cache
def _confine(name: str) -> None:
    """Put `_Requests` in the place of ``requests`` in a plug-in."""
    importlib.import_module(f"apprise.plugins.{name}").requests = _Requests  # type: ignore[attr-defined]


def _without_secret(words: str, url: str) -> str:
    """Words with every longer piece of the address taken out."""
    parts = urlsplit(url)
    pieces = [*parts.path.split("/"), parts.netloc, *parts.netloc.split("@"), *(v for _, v in parse_qsl(parts.query))]
    for piece in pieces:
        if len(piece) >= 6:
            words = words.replace(piece, "…")
    return words
