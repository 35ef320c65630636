"""What goes wrong before Django is up is said in one line that tells what to mend."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The servers cannot be had or started; the message is meant for the person at the console."""
