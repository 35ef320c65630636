"""The demo organization: people, a mixed fleet, devices; every secret random, written to one private file."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction

from fleet.accounts.models import Membership, Organization, Role, User
from fleet.accounts.services import organization_create, token_create
from fleet.embedded.identity import write_private
from integrations.sources.smartcar.services import address_of, arm, endpoint_of_the_portal
from vehicles.services import device_create, vehicle_create

ARMED = timedelta(hours=24)
DOMAIN = "demo.motorpool.example"
ORGANIZATION = "Demo Fleet"
FLEET: list[dict[str, Any]] = [
    {
        "device": "focus-st", "model": "focus_st", "hz": 10, "scenario": "mixed", "seed": 1,
        "vehicle": {"name": "Focus ST", "vin": "1FADP3L97DL000018", "make": "Ford", "model": "Focus ST", "year": 2013,
                    "powertrain": "combustion", "tags": ["sport"], "groups": ["Pool cars"]},
    },
    {
        "device": "city-ev", "model": "ev", "hz": 10, "scenario": "cruising", "seed": 2,
        "vehicle": {"name": "City EV", "make": "Renault", "model": "Zoe", "year": 2021, "powertrain": "electric",
                    "aliases": ["city-ev"], "tags": ["city"], "groups": ["Pool cars"]},
    },
    {
        "device": "van", "model": "focus_st", "hz": 1, "scenario": "cruising", "seed": 3,
        "vehicle": {"name": "Delivery van", "make": "Ford", "model": "Transit", "year": 2019,
                    "powertrain": "combustion", "aliases": ["van-1"], "groups": ["Delivery"]},
    },
    {
        "device": "kona", "model": "ev", "hz": 1, "scenario": "charging", "seed": 4,
        "vehicle": {"name": "Kona at the charger", "make": "Hyundai", "model": "Kona Electric", "year": 2020,
                    "powertrain": "electric", "aliases": ["kona-1"], "groups": ["Delivery"]},
    },
    {
        "device": "", "model": "", "hz": 0, "scenario": "", "seed": 0,
        "vehicle": {"name": "Spare pickup", "make": "Toyota", "model": "Hilux", "year": 2016,
                    "powertrain": "combustion", "aliases": ["spare-1"]},
    },
]  # fmt: skip


@transaction.atomic
def create(path: Path, url: str) -> None:
    """Make the demo where ``path`` does not tell of one already; keep what it says, but for the address."""
    if path.exists():
        known = json.loads(path.read_text())
        now = {**known, "url": url, "smartcar": _webhook(url)}
        if now != known:
            write_private(path, json.dumps(now, indent=2))
        return
    tag = secrets.token_hex(2) if User.objects.filter(email__endswith=DOMAIN).exists() else ""
    passwords = {name: secrets.token_urlsafe(12) for name in ("viewer", "operator", "admin", "staff")}
    people = {name: _person(f"{name}{tag}@{DOMAIN}", passwords[name]) for name in passwords}
    people["staff"].is_staff = people["staff"].is_superuser = True
    people["staff"].save(update_fields=["is_staff", "is_superuser"])
    organization = organization_create(name=ORGANIZATION, owner=people["admin"])
    for name, role in (("viewer", Role.VIEWER), ("operator", Role.OPERATOR)):
        Membership.objects.create(organization=organization, user=people[name], role=role)
    _, api_token = token_create(organization=organization, user=people["admin"], name="Demo")
    keys = _fleet(organization, people["admin"])
    written = {
        "url": url,
        "organization": {"id": organization.public_id, "name": organization.name},
        "users": {
            name: {"email": people[name].email, "password": passwords[name]} for name in ("viewer", "operator", "admin")
        },
        "staff": {"email": people["staff"].email, "password": passwords["staff"]},
        "device_keys": keys,
        "api_token": api_token,
        "smartcar": _webhook(url),
        "collectors": [
            {"name": car["device"], **{key: car[key] for key in ("model", "hz", "scenario", "seed")}}
            for car in FLEET
            if car["device"]
        ],
    }
    write_private(path, json.dumps(written, indent=2))


def _webhook(url: str) -> dict[str, str]:
    """Where webhooks go, and what signs them. Verification is armed: the simulated cloud asks at its start."""
    endpoint = endpoint_of_the_portal()
    arm(endpoint, None, ARMED)
    tokens = settings.SMARTCAR["management_tokens"]
    return {"webhook_url": address_of(endpoint, url), "management_token": tokens[0] if tokens else ""}


def _person(email: str, password: str) -> User:
    user = User.objects.create_user(email=email, password=password)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _fleet(organization: Organization, admin: User) -> dict[str, str]:
    keys = {}
    for car in FLEET:
        vehicle = vehicle_create(organization=organization, user=admin, **car["vehicle"])
        if car["device"]:
            _, keys[car["device"]] = device_create(
                organization=organization, user=admin, name=f"Collector in {vehicle}", vehicles=[vehicle]
            )
    return keys
