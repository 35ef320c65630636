"""What alerts send: once, few, held in quiet hours, and said what became of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import transaction
from django.utils import timezone

from alerts import by_hand, delivering, handling, telling
from alerts.models import Alert, AlertRule, Channel, Delivery, DeliveryState, Escalation
from alerts.services import channel_save, rule_delete, rule_save
from fleet.lib.errors import MotorpoolError
from tests.alerts.making import HOT, evaluate, hot, make_rule, send
from tests.browser.demo import Mailbox, mail_server, subject
from tests.conftest import Team, make_team
from tests.portal import Portal, free_port
from tests.test_tenancy import sign_in


@pytest.fixture(autouse=True)
def _nothing_waits(team: Team) -> None:
    """What other tests left to be sent is not sent here."""
    Delivery.objects.filter(state=DeliveryState.WAITING).delete()
    Alert.objects.update(tell_at=None, escalate_at=None)


@pytest.fixture
def mail(settings: Any) -> Iterator[Mailbox]:
    with mail_server() as (mailbox, port):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        yield mailbox


class Target(HTTPServer):
    """A receiver of webhooks on loopback."""

    def __init__(self, port: int) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Target

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.taken.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def target(settings: Any) -> Iterator[Target]:
    port = free_port()
    server = Target(port)
    settings.OUTBOUND_HOSTS = [f"127.0.0.1:{port}"]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def email_channel(team: Team, *addresses: str) -> Channel:
    channel = Channel(organization=team.organization)
    channel_save(channel=channel, user=team.users["admin"], kind="email", name="Mail", config={"to": list(addresses)})
    channel.recipients.update(confirmed_at=timezone.now())
    return channel


def raise_alerts(team: Team, rule: AlertRule, count: int) -> list[Alert]:
    """Alerts that stand since now, told to the rule's channels."""
    now = timezone.now()
    vehicles = team.organization.vehicles.bulk_create(
        [type(team.vehicle)(organization=team.organization, name=f"Car {i}") for i in range(count)]
    )
    alerts = Alert.objects.bulk_create(
        [
            Alert(
                organization=team.organization,
                rule=rule,
                rule_name=rule.name,
                vehicle=v,
                severity="warning",
                opened_at=now,
            )
            for v in vehicles
        ]
    )
    chosen = telling.choose(alerts, now)
    Alert.objects.write_times(alerts)
    telling.announce(chosen, (), now)
    return alerts


def alerts_in(mail: Mailbox) -> list[Any]:
    """Without the questions to addresses whether they want any."""
    return [message for message in mail.messages if "please confirm" not in subject(message)]


def test_one_alert_is_one_mail(portal: Portal, team: Team, mail: Mailbox) -> None:
    make_rule(team, channels=[email_channel(team, "driver@example.org")])
    hot(portal, team, (-3, 115), (-2, 116))
    evaluate()
    assert delivering.deliver() == 1
    hot(portal, team, (-1, 117))
    evaluate()
    assert delivering.deliver() == 0
    [message] = alerts_in(mail)
    assert subject(message) == f"Coolant hot – {team.vehicle.name}"
    assert message["To"] == "driver@example.org"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    kinds = {part.get_content_type() for part in message.walk()}
    assert {"text/plain", "text/html"} <= kinds
    delivery = Delivery.objects.get(organization=team.organization)
    assert (delivery.state, delivery.words) == (DeliveryState.SENT, "Accepted by the mail server.")


def test_one_click_unsubscribes(portal: Portal, team: Team, mail: Mailbox) -> None:
    make_rule(team, channels=[email_channel(team, "driver@example.org")])
    hot(portal, team, (-3, 115))
    evaluate()
    delivering.deliver()
    link = alerts_in(mail)[0]["List-Unsubscribe"].strip("<>")
    path = "/alerts/" + link.partition("/alerts/")[2]
    with portal.client() as client:
        assert client.get(path).status_code == 200
        assert client.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        assert client.post(path.replace("unsubscribe", "confirm")).status_code in (403, 404)
    channel = Channel.objects.get(organization=team.organization)
    assert telling.recipients_of(channel) == []


def test_strangers_addresses_are_asked_first(team: Team, portal: Portal, mail: Mailbox) -> None:
    channel = Channel(organization=team.organization)
    channel_save(channel=channel, user=team.users["admin"], kind="email", name="M", config={"to": ["new@example.org"]})
    assert telling.recipients_of(channel) == []
    text = mail.messages[0].get_payload(decode=True).decode()
    path = "/alerts/confirm/" + text.partition("/alerts/confirm/")[2].split()[0]
    with portal.client() as client:
        page = client.get(path)
        assert "Yes, send them" in page.text
        data = {"csrfmiddlewaretoken": client.cookies["motorpool-csrf"]}
        assert client.post(path, data=data, headers={"Referer": portal.url}).status_code == 200
    assert telling.recipients_of(Channel.objects.get(pk=channel.pk)) == ["new@example.org"]


@pytest.mark.parametrize("many", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_at_once_are_few_mails_that_name_them_all(team: Team, mail: Mailbox, many: int) -> None:
    rule = make_rule(team, channels=[email_channel(team, "boss@example.org")])
    alerts = raise_alerts(team, rule, 10)
    assert delivering.deliver() == 1
    alerts += raise_alerts(team, rule, many)
    started = time.monotonic()
    for hour in range(2):
        for _ in range(30):
            delivering.deliver()
            Delivery.objects.filter(organization=team.organization, state="held").update(due_at=timezone.now())
        if hour == 0:
            assert len(alerts_in(mail)) <= 20
            raise_alerts(team, rule, 30)
    assert time.monotonic() - started < 60
    assert len(alerts_in(mail)) <= 20
    named = " ".join(
        part.get_payload(decode=True).decode()
        for m in mail.messages
        for part in m.walk()
        if part.get_content_type() == "text/plain"
    )
    assert sum(f"Car {i}" in named for i in (0, 17, 999, many // 2, many - 1)) == 5
    assert named.count("Car ") >= many
    told = Delivery.objects.filter(organization=team.organization, alert__in=[a.pk for a in alerts])
    assert set(told.values_list("state", flat=True)) == {"sent"}


def test_quiet_hours_hold_and_digest(team: Team, mail: Mailbox) -> None:
    channel = email_channel(team, "sleeper@example.org")
    now = timezone.now()
    minute = now.hour * 60 + now.minute
    channel.quiet_from, channel.quiet_to = (minute - 60) % 1440, (minute + 60) % 1440
    channel.quiet_passes = ["critical"]
    channel.save()
    rule = make_rule(team, channels=[channel])
    raise_alerts(team, rule, 3)
    assert delivering.deliver() == 0
    held = Delivery.objects.filter(channel=channel, state="held")
    assert held.count() == 3
    assert timedelta(minutes=58) <= held[0].due_at - now <= timedelta(minutes=61)
    urgent = raise_alerts(team, rule, 1)[0]
    Alert.objects.filter(pk=urgent.pk).update(severity="critical")
    assert delivering.deliver() == 1
    Channel.objects.filter(pk=channel.pk).update(quiet_from=None)
    held.update(due_at=timezone.now())
    assert delivering.deliver() == 1
    assert "3 alerts" in subject(alerts_in(mail)[-1])


def test_a_sender_that_dies_leaves_unknown_and_no_second_mail(team: Team, mail: Mailbox) -> None:
    rule = make_rule(team, channels=[email_channel(team, "once@example.org")])
    raise_alerts(team, rule, 1)
    delivery = Delivery.objects.get(organization=team.organization)
    claimed = delivering._claim(delivery.channel_id, delivery.recipient)
    assert claimed is not None
    Delivery.objects.filter(pk=delivery.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert delivering.deliver() == 0
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.UNKNOWN
    assert not alerts_in(mail)


class _Refusing:
    async def handle_RCPT(  # noqa: N802  (the server's name for it)
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        return "550 no such person here"


def test_a_recipient_that_is_refused_for_good_disables_its_channel(team: Team, settings: Any) -> None:
    port = free_port()
    server = Controller(_Refusing(), hostname="127.0.0.1", port=port)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    channel = email_channel(team, "gone@example.org")
    raise_alerts(team, make_rule(team, channels=[channel]), 1)
    delivering.deliver()
    server.stop()
    channel.refresh_from_db()
    assert channel.disabled_at is not None
    assert "550 no such person here" in channel.disabled_because
    delivery = Delivery.objects.get(channel=channel)
    assert delivery.state == DeliveryState.FAILED
    raise_alerts(team, channel.rules.get(), 1)
    assert Delivery.objects.filter(channel=channel).count() == 1


def test_a_mail_server_that_is_away_is_tried_again(team: Team, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    raise_alerts(team, make_rule(team, channels=[email_channel(team, "later@example.org")]), 1)
    delivering.deliver()
    delivery = Delivery.objects.get(organization=team.organization)
    assert (delivery.state, delivery.attempts) == (DeliveryState.WAITING, 1)
    assert delivery.due_at > timezone.now()
    with mail_server() as (mailbox, port):
        settings.EMAIL_PORT = port
        Delivery.objects.filter(pk=delivery.pk).update(due_at=timezone.now())
        delivering.deliver()
        assert len(alerts_in(mailbox)) == 1
        with pytest.raises(MotorpoolError, match="did not arrive"):
            by_hand.send_again(delivery)


def test_what_is_unknown_is_sent_again_by_hand(portal: Portal, team: Team, mail: Mailbox) -> None:
    [alert] = raise_alerts(team, make_rule(team, channels=[email_channel(team, "again@example.org")]), 1)
    delivery = Delivery.objects.get(alert=alert)
    Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.UNKNOWN)
    delivering.deliver()
    assert not alerts_in(mail)

    def resend(browser: Any, which: str) -> int:
        form = {"action": "resend", "delivery": which, "csrfmiddlewaretoken": browser.cookies["motorpool-csrf"]}
        answer = browser.post(f"/alerts/{alert.public_id}", data=form, headers={"Referer": portal.url})
        return int(answer.status_code)

    with closing(sign_in(portal, team.users["viewer"].email, team.password)) as browser:
        assert resend(browser, str(delivery.pk)) == 403
    with closing(sign_in(portal, team.users["operator"].email, team.password)) as browser:
        assert resend(browser, "x") == 404
        assert "Send again" in browser.get(f"/alerts/{alert.public_id}").text
        assert resend(browser, str(delivery.pk)) == 302
    delivering.deliver()
    assert len(alerts_in(mail)) == 1


def webhook(team: Team, target: Target) -> tuple[Channel, str]:
    channel = Channel(organization=team.organization)
    url = f"http://127.0.0.1:{target.server_port}/hook"
    channel_save(channel=channel, user=team.users["admin"], kind="webhook", name="Hook", config={"url": url})
    return channel, channel.shown_secret  # type: ignore[attr-defined]


def test_a_webhook_is_signed(team: Team, target: Target) -> None:
    channel, secret = webhook(team, target)
    assert secret not in channel.secret
    raise_alerts(team, make_rule(team, channels=[channel]), 1)
    assert delivering.deliver() == 1
    [(headers, body)] = target.taken
    moment, signature = (part.partition("=")[2] for part in headers["Motorpool-Signature"].split(","))
    assert abs(int(moment) - time.time()) < 5
    assert hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest() == signature
    assert json.loads(body)["alert"]["rule_name"] == "Coolant hot"
    assert headers["Idempotency-Key"] == str(Delivery.objects.get(channel=channel).pk)


def test_a_webhook_that_is_gone_is_disabled_and_one_that_fails_is_not(team: Team, target: Target) -> None:
    channel, _ = webhook(team, target)
    rule = make_rule(team, channels=[channel])
    target.status = 500
    raise_alerts(team, rule, 1)
    delivering.deliver()
    channel.refresh_from_db()
    assert channel.disabled_at is None
    target.status = 410
    Delivery.objects.filter(channel=channel).update(due_at=timezone.now())
    delivering.deliver()
    channel.refresh_from_db()
    assert channel.disabled_because.startswith("410")


def test_ntfy_is_told_through_apprise(team: Team, target: Target) -> None:
    channel = Channel(organization=team.organization)
    url = f"ntfy://127.0.0.1:{target.server_port}/garage"
    channel_save(channel=channel, user=team.users["admin"], kind="apprise", name="Ntfy", config={"url": url})
    assert "garage" not in channel.secret
    raise_alerts(team, make_rule(team, channels=[channel]), 1)
    delivering.deliver()
    delivery = Delivery.objects.get(channel=channel)
    assert delivery.state == DeliveryState.SENT, delivery.words
    assert b"Coolant hot" in target.taken[0][1]


def sent_test(channel: Channel) -> Delivery:
    """A test that was queued and has been sent."""
    (queued,) = by_hand.queue_test(channel)
    delivering.deliver()
    return Delivery.objects.get(pk=queued.pk)


def test_a_push_service_gets_what_only_the_browser_can_read(team: Team, target: Target) -> None:
    import base64

    import http_ece
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from integrations.channels import push

    def text(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    browser, auth = ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef"
    point = browser.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    user = team.users["admin"]
    push.subscribe(team.organization, user, f"http://127.0.0.1:{target.server_port}/p", text(point), text(auth), "Test")
    channel = Channel(organization=team.organization)
    channel_save(channel=channel, user=user, kind="push", name="Mine", config={})
    target.status = 201
    assert sent_test(channel).state == DeliveryState.SENT
    headers, body = target.taken[0]
    told = json.loads(http_ece.decrypt(body, private_key=browser, auth_secret=auth, version="aes128gcm"))
    assert told["title"] == "Test of Mine"
    assert headers["Authorization"].startswith("vapid t=")
    target.status = 410
    sent_test(channel)
    assert not user.push_subscriptions.exists()


def test_nobody_acknowledges_and_others_are_told(team: Team, target: Target) -> None:
    first, _ = webhook(team, target)
    second, _ = webhook(team, target)
    steps = [Escalation(after=timedelta(minutes=10), channel=second)]
    rule = make_rule(team, channels=[first], escalations=steps)
    alert, other = raise_alerts(team, rule, 2)
    handling.acknowledge(alert=other, user=team.users["operator"])
    now = timezone.now()
    with transaction.atomic():
        assert telling.escalate_due(now) == 0
        assert telling.escalate_due(now + timedelta(minutes=11)) == 1
    assert [d.alert_id for d in Delivery.objects.filter(channel=second)] == [alert.pk]
    with transaction.atomic():
        assert telling.escalate_due(now + timedelta(minutes=60)) == 0


def test_a_cooldown_tells_what_still_stands_afterwards(portal: Portal, team: Team, mail: Mailbox) -> None:
    make_rule(team, channels=[email_channel(team, "cool@example.org")], cooldown=timedelta(minutes=15))
    hot(portal, team, (-60, 115), (-50, 90), (-40, 115))
    evaluate()
    delivering.deliver()
    assert len(alerts_in(mail)) == 1
    alert = Alert.objects.get(organization=team.organization, cleared_at=None)
    if alert.told_at is None:
        assert alert.tell_at is not None
        with transaction.atomic():
            telling.tell_due(alert.tell_at + timedelta(seconds=1))
        Delivery.objects.filter(alert=alert).update(due_at=timezone.now())
        delivering.deliver()
        assert len(alerts_in(mail)) == 2


def deliver_ends(team: Team) -> None:
    """Ends wait a little before they are told."""
    Delivery.objects.filter(organization=team.organization, kind="cleared").update(due_at=timezone.now())
    delivering.deliver()


@pytest.mark.parametrize("wanted", [True, False])
def test_who_was_told_is_told_when_it_is_over(portal: Portal, team: Team, mail: Mailbox, wanted: bool) -> None:
    told, others = email_channel(team, "over@example.org"), email_channel(team, "others@example.org")
    rule = make_rule(team, channels=[told], tell_cleared=wanted)
    hot(portal, team, (-60, 115))
    evaluate()
    delivering.deliver()
    rule.channels.set([others])  # who was not told of the beginning is not told of the end
    hot(portal, team, (-30, 90))
    evaluate()
    delivering.deliver()
    assert len(alerts_in(mail)) == 1
    deliver_ends(team)
    hot(portal, team, (-20, 115), (-10, 90))  # within the cool-down: nobody is told of it, nor of its end
    evaluate()
    deliver_ends(team)
    words = f"Coolant hot – {team.vehicle.name}"
    subjects = [subject(message) for message in alerts_in(mail)]
    assert subjects == ([words, f"Over: {words}"] if wanted else [words])
    assert {message["To"] for message in alerts_in(mail)} == {"over@example.org"}
    if wanted:
        assert "From " in alerts_in(mail)[1].get_payload(0).get_payload(decode=True).decode()


def test_an_end_that_late_readings_take_back_is_not_told(portal: Portal, team: Team, mail: Mailbox) -> None:
    rule = make_rule(team, channels=[email_channel(team, "back@example.org")], tell_cleared=True)
    rule.escalations.add(
        Escalation(after=timedelta(minutes=10), channel=email_channel(team, "b@x.example")), bulk=False
    )
    now = time.time()
    for at, value in ((now - 9, 115.0), (now - 4, 90.0)):
        send(portal, team, (at, {"engine.coolant_temp": value}))
        evaluate()
    alert = Alert.objects.get(rule=rule)
    assert alert.cleared_at is not None
    send(portal, team, (now - 4, {"engine.coolant_temp": 115.0}))  # the same instant, corrected
    evaluate()
    alert.refresh_from_db()
    assert (alert.cleared_at, alert.escalate_at is not None) == (None, True)
    deliver_ends(team)
    send(portal, team, (now - 1, {"engine.coolant_temp": 90.0}))
    evaluate()
    deliver_ends(team)
    assert sum(subject(message).startswith("Over") for message in alerts_in(mail)) == 1


def test_a_resolved_alert_and_a_deleted_rule_end_at_the_webhook_too(team: Team, target: Target) -> None:
    channel, _ = webhook(team, target)
    rule = make_rule(team, channels=[channel], tell_cleared=True)
    first, second = raise_alerts(team, rule, 2)
    delivering.deliver()
    handling.resolve(alert=first, user=team.users["operator"])
    rule_delete(rule=rule, user=team.users["admin"])
    deliver_ends(team)
    bodies = [json.loads(body) for _, body in target.taken]
    over = {(body["alert"]["id"], body["alert"]["state"]) for body in bodies if body["type"] == "alert.cleared"}
    assert over == {(first.public_id, "cleared"), (second.public_id, "cleared")}


def test_a_changed_rule_tells_of_no_end(team: Team, target: Target) -> None:
    channel, _ = webhook(team, target)
    rule = make_rule(team, channels=[channel], tell_cleared=True)
    raise_alerts(team, rule, 1)
    rule_save(rule=rule, user=team.users["admin"], condition={**HOT, "value": 105})
    assert not Delivery.objects.filter(channel=channel, kind="cleared").exists()
    raise_alerts(team, rule, 1)
    rule_save(rule=rule, user=team.users["admin"], enabled=False)
    assert Delivery.objects.filter(channel=channel, kind="cleared").count() == 1


def test_no_secret_is_in_what_is_kept_or_shown(team: Team, portal: Portal, target: Target) -> None:
    channel, secret = webhook(team, target)
    with portal.client(team.tokens["admin"]) as client:
        assert secret not in client.get("/api/v1/channels").text
        assert secret not in client.get(f"/api/v1/channels/{channel.public_id}").text
    stranger = make_team()
    with portal.client(stranger.tokens["admin"]) as client:
        assert client.post(f"/api/v1/channels/{channel.public_id}/test").status_code == 404
