"""Prove that nothing acknowledged is lost, whatever is killed or frozen: ``make chaos``."""
