"""Vehicles through their makers' clouds, by way of Smartcar."""
