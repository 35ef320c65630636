"""Each way to misconfigure stops the process with one clear line."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import env
from tests.portal import ROOT

GOOD = {
    "SECRET_KEY": secrets.token_urlsafe(48),
    "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


def boot(**changes: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **GOOD, **changes}
    command = [sys.executable, "-c", "import django; django.setup()"]
    variables = {k: v for k, v in variables.items() if v != "unset"} | {"DJANGO_SETTINGS_MODULE": "fleet.settings"}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)


def test_a_good_configuration_boots() -> None:
    assert boot().returncode == 0, boot().stderr


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"SECRET_KEY": "unset"}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 64}, "SECRET_KEY"),
        ({"SECRET_KEY": "django-insecure-0123456789abcdefghijklmnop"}, "SECRET_KEY"),
        ({"FIELD_ENCRYPTION_KEYS": "unset"}, "FIELD_ENCRYPTION_KEYS"),
        ({"FIELD_ENCRYPTION_KEYS": "abc"}, "FIELD_ENCRYPTION_KEYS"),
        ({"FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(b"\0" * 32).decode()}, "FIELD_ENCRYPTION_KEYS"),
        ({"DEBUG": "true"}, "DEBUG"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"DATABASE_URL": "unset"}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL"),
        ({"REDIS_URL": "unset"}, "REDIS_URL"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL"),
        ({"BASE_URL": "fleet.example.com"}, "BASE_URL"),
        ({"BASE_URL": "https://fleet.example.com"}, "TRUSTED_PROXY_COUNT"),
        ({"CORS_ALLOWED_ORIGINS": "app.example.com"}, "CORS_ALLOWED_ORIGINS"),
        ({"REDIS_CERTIFICATES": "maybe"}, "REDIS_CERTIFICATES"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"PARTITION_DAYS": "0"}, "PARTITION_DAYS"),
        ({"ACCESS_TOKEN_EXPIRE_MINUTES": "soon"}, "ACCESS_TOKEN_EXPIRE_MINUTES"),
        ({"SECRET_KEY_FILE": "/no/such/file"}, "SECRET_KEY_FILE"),
        ({"EMAIL_URL": "pigeon://x"}, "EMAIL_URL"),
        (
            {"PASSWORD_ROUNDS": "11", "BASE_URL": "https://fleet.example.com", "TRUSTED_PROXY_COUNT": "1"},
            "PASSWORD_ROUNDS",
        ),
    ],
)
def test_a_bad_one_is_refused_in_one_line(changes: dict[str, str], word: str) -> None:
    result = boot(**changes)
    assert result.returncode != 0
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("motorpool: configuration:")
    assert word in lines[0]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_a_database_address_works(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://us%40er:p%2Fw@db.example:5433/name?sslmode=require")
    found = env.database()
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"]) == ("us@er", "p/w", "db.example", "5433")
    assert (found["NAME"], found["OPTIONS"]) == ("name", {"sslmode": "require"})
    monkeypatch.setenv("REDIS_URL", "rediss://:x@cache.example:6380/1")
    assert env.redis_address().startswith("rediss://")


@pytest.mark.parametrize("key", [b"\xfb\xff" * 16, bytes(range(32))])
def test_hosts_may_generate_the_encryption_key(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    for written in (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode(), key.hex()):
        monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", written)
        assert env.encryption_keys(False) == [key]


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(GOOD["SECRET_KEY"] + "\n")
    assert boot(SECRET_KEY="unset", SECRET_KEY_FILE=str(secret)).returncode == 0


def test_the_example_lists_every_variable() -> None:
    import re

    source = (ROOT / "fleet" / "settings.py").read_text() + (ROOT / "fleet" / "web.py").read_text()
    source += (ROOT / "fleet" / "env.py").read_text().replace('choice("REDIS', 'env.choice("REDIS')
    used = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source)) | set(
        re.findall(r'(?:text|words|choice|number|flag)\("((?:MQTT|SMARTCAR|SMTP|EMAIL|ALERT|ENABLE)_[A-Z_]+)"', source)
    )
    used |= {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "EMAIL_URL"}
    used |= {"MOTORPOOL_DATA", "MOTORPOOL_SERVERS"}
    listed = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used == listed


def test_logs_are_structured_and_hide_secrets(tmp_path: Path) -> None:
    import json

    log = tmp_path / "portal.log"
    code = (
        "import django; django.setup(); import structlog, logging;"
        "structlog.get_logger('x').warning('hello', key='mpd_abcdefghijklmnop', n=1);"
        "logging.getLogger('y').error('Bearer %s', 'mpt_abcdefghijklmnop')"
    )
    variables = {"PATH": os.environ["PATH"], **GOOD, "LOG_FILE": str(log), "DJANGO_SETTINGS_MODULE": "fleet.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, check=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0] | {"event": "hello", "key": "[secret]", "n": 1, "level": "warning"} == lines[0]
    assert lines[1]["event"] == "Bearer [secret]"
