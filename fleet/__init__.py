"""Motorpool: an open, multi-tenant fleet portal."""
