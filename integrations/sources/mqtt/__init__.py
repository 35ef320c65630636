"""Readings by MQTT 5: docs/collector.md has the topics."""
