"""Read settings from the environment, loudly: a value that cannot be used stops the process with one line."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg

WEAKEST_SECRET = 32
KNOWN_SECRETS = ("changeme", "secret", "django-insecure", "your-secret-key", "insecure")
_reader = environ.Env()
_URL_SAFE = str.maketrans("+/", "-_")


class ConfigurationError(SystemExit):
    """Leaves the process with one line on standard error."""

    def __init__(self, words: str) -> None:
        super().__init__(f"motorpool: configuration: {words}")


def load_file(path: Path) -> None:
    """Add the variables of a ``.env`` file that the environment does not set itself."""
    if path.exists():
        environ.Env.read_env(path)


def text(name: str, default: str | None = None) -> str:
    """A string; ``NAME_FILE`` may name a file that holds it. Without a default it is required."""
    file = os.environ.get(f"{name}_FILE")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"{name}_FILE names {file}, which cannot be read ({error.strerror}).") from None
    value = os.environ.get(name, "")
    if value:
        return value
    if default is None:
        raise ConfigurationError(f"{name} is not set; see .env.example.")
    return default


def flag(name: str, default: bool) -> bool:
    """A boolean: true, yes, on, 1 or false, no, off, 0."""
    value = text(name, "").lower()
    if not value:
        return default
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ConfigurationError(f"{name} is {value!r}; it can be true or false.")


def number(name: str, default: int, low: int, high: int) -> int:
    """An integer from ``low`` to ``high``."""
    value = text(name, str(default))
    try:
        parsed = int(value)
    except ValueError:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number.") from None
    if not low <= parsed <= high:
        raise ConfigurationError(f"{name} is {parsed}; it can be {low} to {high}.")
    return parsed


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words, in lower case."""
    value = text(name, default).lower()
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}; it can be {', '.join(allowed)}.")
    return value


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name, ",".join(default)).split(",") if word.strip()]


def origins(name: str) -> list[str]:
    """A list of web origins, such as https://app.example.com."""
    found = words(name)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ConfigurationError(f"{name} holds {origin!r}; an origin is like https://app.example.com.")
    return found


def database(name: str = "DATABASE_URL") -> dict[str, Any]:
    """A Django database from a PostgreSQL URL, with any libpq parameter in its query string.

    ``postgres://``, ``postgresql://`` and ``postgresql+psycopg://`` are the same; a host that starts with a
    slash (percent-encoded) is the folder of a Unix socket.
    """
    url = text(name)
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ConfigurationError(f"{name} must be a PostgreSQL address (postgresql://user:password@host/name).")
    try:
        parts = psycopg.conninfo.conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        raise ConfigurationError(f"{name} cannot be read as a PostgreSQL address; encode special characters.") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": str(parts.pop("dbname", "")),
        "USER": str(parts.pop("user", "")),
        "PASSWORD": str(parts.pop("password", "")),
        "HOST": str(parts.pop("host", "")),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": dict(parts),
    }


def redis_address(name: str = "REDIS_URL") -> str:
    """A ``redis://`` or ``rediss://`` address; ``REDIS_CERTIFICATES=none`` accepts a self-signed certificate."""
    url = text(name)
    certificates = choice("REDIS_CERTIFICATES", "required", ("required", "none"))
    scheme = urlsplit(url).scheme
    if scheme not in ("redis", "rediss"):
        raise ConfigurationError(f"{name} must start with redis:// or rediss://.")
    if scheme == "rediss" and "ssl_cert_reqs" not in url:
        url += ("&" if "?" in url else "?") + f"ssl_cert_reqs={certificates}"
    return url


def broker_tls(url: str) -> dict[str, Any] | None:
    """Celery's TLS settings for a Redis address; None without TLS."""
    if not url.startswith("rediss://"):
        return None
    return {"ssl_cert_reqs": ssl.CERT_NONE if "ssl_cert_reqs=none" in url else ssl.CERT_REQUIRED}


PROVIDERS = {
    "brevo": "BREVO_API_KEY", "mailersend": "MAILERSEND_API_TOKEN", "mailgun": "MAILGUN_API_KEY",
    "postmark": "POSTMARK_SERVER_TOKEN", "resend": "RESEND_API_KEY", "sendgrid": "SENDGRID_API_KEY",
    "sparkpost": "SPARKPOST_API_KEY",
}  # fmt: skip
"""Mail providers with an interface of their own, and what django-anymail calls their key."""
MAIL_SECONDS = 20


def email(name: str = "EMAIL_URL") -> dict[str, Any]:
    """Django's e-mail settings.

    From ``EMAIL_PROVIDER`` and ``EMAIL_PROVIDER_KEY``; else ``SMTP_HOST``, ``_PORT``, ``_USER``, ``_PASSWORD``; else
    ``EMAIL_URL`` such as ``smtp://user:password@host:port`` (or smtp+tls, smtp+ssl, consolemail).
    """
    provider = choice("EMAIL_PROVIDER", "none", ("none", *PROVIDERS))
    if provider != "none":
        return {
            "EMAIL_BACKEND": f"anymail.backends.{provider}.EmailBackend",
            "ANYMAIL": {PROVIDERS[provider]: text("EMAIL_PROVIDER_KEY"), "REQUESTS_TIMEOUT": MAIL_SECONDS},
        }
    host = text("SMTP_HOST", "")
    if host:
        port = number("SMTP_PORT", 587, 1, 65_535)
        found: dict[str, Any] = {
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": host, "EMAIL_PORT": port,
            "EMAIL_HOST_USER": text("SMTP_USER", ""), "EMAIL_HOST_PASSWORD": text("SMTP_PASSWORD", ""),
            "EMAIL_USE_SSL": port == 465, "EMAIL_USE_TLS": port == 587,
        }  # fmt: skip
    else:
        try:
            found = _reader.email_url_config(text(name, "consolemail://"))
        except (KeyError, ValueError, environ.ImproperlyConfigured):
            raise ConfigurationError(
                f"{name} cannot be read; an example is smtp+tls://user:password@host:587."
            ) from None
    if found["EMAIL_BACKEND"].endswith("console.EmailBackend"):
        found["EMAIL_BACKEND"] = "fleet.lib.mail.LoggedBackend"
    return {**found, "EMAIL_TIMEOUT": MAIL_SECONDS}


def reaches_people(mail: dict[str, Any]) -> bool:
    """Whether e-mail settings send mail, instead of writing it to a log or a folder."""
    return "anymail" in mail["EMAIL_BACKEND"] or "smtp" in mail["EMAIL_BACKEND"]


def alert_addresses() -> list[str]:
    """``ALERT_EMAIL_TO``, unless ``ENABLE_EMAIL_ALERTS`` is off: whom the first organization's alerts go to."""
    return [address.lower() for address in words("ALERT_EMAIL_TO")] if flag("ENABLE_EMAIL_ALERTS", True) else []


def hosts(name: str) -> list[str]:
    """A list of ``host:port``."""
    found = [word.lower() for word in words(name)]
    for word in found:
        host, _, port = word.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigurationError(f"{name} holds {word!r}; it lists host:port, such as ntfy.lan:8090.")
    return found


def secret_key(production: bool) -> str:
    """``SECRET_KEY``; production refuses a short or well-known one."""
    value = text("SECRET_KEY")
    if production:
        if len(value) < WEAKEST_SECRET or len(set(value)) < 10:
            raise ConfigurationError(f"SECRET_KEY is too weak: use at least {WEAKEST_SECRET} random characters.")
        if any(known in value.lower() for known in KNOWN_SECRETS):
            raise ConfigurationError("SECRET_KEY is a well-known example: make a random one.")
    return value


def encryption_keys(production: bool) -> list[bytes]:
    """``FIELD_ENCRYPTION_KEYS``: 32-byte keys in base64 or hexadecimal, newest first; production needs one."""
    keys = []
    for word in words("FIELD_ENCRYPTION_KEYS"):
        try:
            # Hosts generate either: base64 of either alphabet, or 64 hexadecimal digits.
            key = bytes.fromhex(word) if len(word) == 64 else base64.urlsafe_b64decode(word.translate(_URL_SAFE))
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise ConfigurationError("FIELD_ENCRYPTION_KEYS must hold 32-byte keys in base64 or hexadecimal.")
        if production and len(set(key)) < 8:
            raise ConfigurationError("FIELD_ENCRYPTION_KEYS holds a key that is not random.")
        keys.append(key)
    if production and not keys:
        raise ConfigurationError("FIELD_ENCRYPTION_KEYS is not set; see .env.example.")
    return keys


def mqtt() -> dict[str, str]:
    """The MQTT broker: ``MQTT_URL``, ``_USERNAME``, ``_PASSWORD``, ``_CA_FILE``, ``_CERT_FILE``, ``_KEY_FILE``."""
    return {
        "url": text("MQTT_URL", ""),
        "username": text("MQTT_USERNAME", ""),
        "password": text("MQTT_PASSWORD", ""),
        "ca_file": text("MQTT_CA_FILE", ""),
        "cert_file": text("MQTT_CERT_FILE", ""),
        "key_file": text("MQTT_KEY_FILE", ""),
    }


def smartcar(base_url: str) -> dict[str, Any]:
    """The Smartcar application: see `integrations.sources.smartcar.configuration`."""
    return {
        "application_id": text("SMARTCAR_APPLICATION_ID", ""),
        "client_id": text("SMARTCAR_API_CLIENT_ID", ""),
        "client_secret": text("SMARTCAR_API_CLIENT_SECRET", ""),
        "management_tokens": words("SMARTCAR_MANAGEMENT_TOKEN"),
        "redirect_uri": text("SMARTCAR_REDIRECT_URI", f"{base_url}/connections/smartcar/return"),
        "webhook_id": text("SMARTCAR_WEBHOOK_ID", ""),
        "mode": choice("SMARTCAR_MODE", "live", ("live", "simulated")),
        "connect_url": text("SMARTCAR_CONNECT_URL", "https://connect.smartcar.com").rstrip("/"),
        "iam_url": text("SMARTCAR_IAM_URL", "https://iam.smartcar.com").rstrip("/"),
        "vehicle_url": text("SMARTCAR_VEHICLE_URL", "https://vehicle.api.smartcar.com/v3").rstrip("/"),
        "management_url": text("SMARTCAR_MANAGEMENT_URL", "https://management.api.smartcar.com/v3").rstrip("/"),
        "auth_url": text("SMARTCAR_AUTH_URL", "https://auth.smartcar.com/oauth/token"),
        "api_url": text("SMARTCAR_API_URL", "https://api.smartcar.com").rstrip("/"),
        "vehicle_requests": number("SMARTCAR_VEHICLE_REQUESTS", 500, 0, 1_000_000),
        "application_requests": number("SMARTCAR_APPLICATION_REQUESTS", 120, 1, 1_000_000),
    }
