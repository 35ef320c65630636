"""What beat sends, and how often in seconds; a message that nobody took until the next one is due expires."""

from __future__ import annotations

from typing import Any

_EVERY = {
    "telemetry.tasks.run_sinks": 10.0,
    "telemetry.tasks.roll_up": 10.0,
    "telemetry.tasks.detect_offline": 10.0,
    "alerts.tasks.look_again": 2.0,
    "alerts.tasks.look_at_facts": 5.0,
    "alerts.tasks.look_at_all_facts": 60.0,
    "alerts.tasks.deliver": 10.0,
    "alerts.tasks.tell_due": 10.0,
    "alerts.tasks.correct": 10.0,
    "alerts.tasks.trim": 600.0,
    "telemetry.tasks.expire_commands": 30.0,
    "telemetry.tasks.find_commands": 15.0,
    "integrations.sources.smartcar.tasks.process_events": 10.0,
    "integrations.sources.smartcar.tasks.poll": 60.0,
    "integrations.sources.smartcar.tasks.refresh_tokens": 10.0,
    "integrations.sources.smartcar.tasks.tell_reconnect": 60.0,
    "integrations.sources.smartcar.tasks.trim": 3600.0,
    "telemetry.tasks.make_partitions": 3600.0,
    "telemetry.tasks.apply_retention": 1800.0,
    "telemetry.tasks.trim_buffers": 10.0,
    "fleet.accounts.tasks.forget_failures": 3600.0,
    "fleet.accounts.tasks.delete_expired": 3600.0,
    "telemetry.tasks.trim_rejected": 3600.0,
}
SCHEDULE: dict[str, Any] = {
    task: {"task": task, "schedule": seconds, "options": {"expires": seconds}} for task, seconds in _EVERY.items()
}
