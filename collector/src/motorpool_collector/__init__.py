"""The collector agent: reads a vehicle, spools to disk, uploads to a Motorpool portal."""

__version__ = "0.2.0"
