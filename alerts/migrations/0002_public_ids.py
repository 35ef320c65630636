"""What rules and channels name by an id in their JSON: numbers become public ids (`fleet.lib.public_ids`)."""

from django.db import migrations

from fleet.lib.public_ids import Kind, public_id


def _renamed(condition):
    if isinstance(condition, list):
        return [_renamed(part) for part in condition]
    if not isinstance(condition, dict):
        return condition
    return {
        name: public_id(Kind.GEOFENCE, value) if name == "geofence" and isinstance(value, int) else _renamed(value)
        for name, value in condition.items()
    }


def name_by_public_ids(apps, schema_editor):
    for rule in apps.get_model("alerts", "AlertRule").objects.iterator():
        before = (rule.condition, rule.clear)
        rule.condition, rule.clear = map(_renamed, before)
        if before != (rule.condition, rule.clear):
            rule.save(update_fields=["condition", "clear"])
    for channel in apps.get_model("alerts", "Channel").objects.filter(kind="push"):
        if isinstance(channel.config.get("user"), int):
            channel.config = {"user": public_id(Kind.USER, channel.config["user"])}
            channel.save(update_fields=["config"])


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_public_id_key"),
        ("alerts", "0001_initial"),
    ]

    operations = [migrations.RunPython(name_by_public_ids, migrations.RunPython.noop)]
