"""What trouble codes mean, in our own words. The scheme of the digits is that of SAE J2012 / ISO 15031-6.

The table names common generic codes; for every other one the digits tell the system.
"""

from __future__ import annotations

import re

_EXACT = {
    "P0010": "Intake camshaft actuator circuit, bank 1", "P0011": "Intake camshaft too far advanced, bank 1",
    "P0016": "Crankshaft and camshaft do not agree, bank 1", "P0030": "Oxygen sensor heater circuit, bank 1 sensor 1",
    "P0087": "Fuel rail pressure too low", "P0088": "Fuel rail pressure too high",
    "P0100": "Air mass sensor circuit", "P0101": "Air mass sensor reads implausible values",
    "P0102": "Air mass sensor signal too low", "P0103": "Air mass sensor signal too high",
    "P0106": "Manifold pressure sensor reads implausible values", "P0107": "Manifold pressure sensor signal too low",
    "P0108": "Manifold pressure sensor signal too high", "P0110": "Intake air temperature sensor circuit",
    "P0112": "Intake air temperature signal too low", "P0113": "Intake air temperature signal too high",
    "P0115": "Coolant temperature sensor circuit", "P0117": "Coolant temperature signal too low",
    "P0118": "Coolant temperature signal too high", "P0120": "Throttle position sensor circuit",
    "P0121": "Throttle position sensor reads implausible values", "P0122": "Throttle position signal too low",
    "P0123": "Throttle position signal too high", "P0125": "Coolant too cold for closed-loop control",
    "P0128": "Coolant stays below the thermostat's temperature", "P0171": "Mixture too lean, bank 1",
    "P0172": "Mixture too rich, bank 1", "P0174": "Mixture too lean, bank 2", "P0175": "Mixture too rich, bank 2",
    "P0190": "Fuel rail pressure sensor circuit", "P0195": "Engine oil temperature sensor circuit",
    "P0196": "Engine oil temperature sensor reads implausible values", "P0217": "Engine overheated",
    "P0219": "Engine overspeed", "P0234": "Turbocharger boosts too much", "P0235": "Boost pressure sensor circuit",
    "P0236": "Boost pressure sensor reads implausible values", "P0243": "Wastegate valve circuit",
    "P0299": "Turbocharger boosts too little", "P0300": "Misfires in several cylinders",
    "P0325": "Knock sensor circuit, bank 1", "P0335": "Crankshaft position sensor circuit",
    "P0340": "Camshaft position sensor circuit", "P0400": "Exhaust gas recirculation flow",
    "P0401": "Exhaust gas recirculation flows too little", "P0402": "Exhaust gas recirculation flows too much",
    "P0420": "Catalyst too weak, bank 1", "P0430": "Catalyst too weak, bank 2",
    "P0440": "Fuel vapour system", "P0441": "Fuel vapour purge flow is wrong", "P0442": "Small leak of fuel vapour",
    "P0446": "Fuel vapour vent control circuit", "P0455": "Large leak of fuel vapour",
    "P0456": "Very small leak of fuel vapour", "P0460": "Fuel level sensor circuit",
    "P0480": "Cooling fan 1 control circuit", "P0500": "Vehicle speed sensor", "P0505": "Idle speed control",
    "P0506": "Idle speed too low", "P0507": "Idle speed too high", "P0520": "Engine oil pressure sensor circuit",
    "P0524": "Engine oil pressure too low", "P0560": "Supply voltage", "P0562": "Supply voltage too low",
    "P0563": "Supply voltage too high", "P0600": "Serial link between control units",
    "P0601": "Control unit's memory",
    "P0606": "Engine control unit processor", "P0700": "Transmission control asks for the warning lamp",
    "P0715": "Transmission input speed sensor circuit", "P0720": "Transmission output speed sensor circuit",
    "P0740": "Torque converter clutch circuit", "P0A0F": "Engine did not start (hybrid)",
    "P0A7F": "Traction battery worn", "P0A80": "Traction battery has to be replaced",
    "P0AA6": "High voltage is not isolated from the body", "P2002": "Particle filter too weak, bank 1",
    "P2096": "Mixture behind the catalyst too lean, bank 1", "P2135": "Throttle sensors A and B disagree",
    "P2263": "Boost pressure control", "P2463": "Particle filter is full of soot",
    "U0001": "High-speed CAN bus", "U0100": "No communication with the engine control unit",
    "U0101": "No communication with the transmission control unit",
    "U0121": "No communication with the ABS control unit",
    "U0140": "No communication with the body control unit", "U0155": "No communication with the instrument cluster",
    "C0035": "Wheel speed sensor front left", "C0040": "Wheel speed sensor front right",
    "C0045": "Wheel speed sensor rear left", "C0050": "Wheel speed sensor rear right",
    "B0001": "Driver's front airbag, stage 1", "B1318": "Supply voltage too low (body)",
}  # fmt: skip
_CYLINDERS = (
    ("P030", "Misfire in cylinder {}"),
    ("P020", "Injector circuit, cylinder {}"),
    ("P035", "Ignition coil circuit {}"),
)
_POWERTRAIN = {
    "0": "Fuel and air metering, emissions", "1": "Fuel and air metering", "2": "Fuel injection",
    "3": "Ignition or misfire", "4": "Emission control", "5": "Speed, idle and electrical supply",
    "6": "Control unit and its outputs",
    "7": "Transmission", "8": "Transmission", "9": "Transmission", "A": "Hybrid drive", "B": "Hybrid drive",
    "C": "Hybrid drive", "D": "Hybrid drive", "E": "Hybrid drive", "F": "Hybrid drive",
}  # fmt: skip
_SYSTEMS = {"P": "Powertrain", "C": "Chassis", "B": "Body", "U": "Network"}
_OXYGEN = re.compile(r"P01([3-6])([0-9A-F])")


def describe(code: str) -> str:
    """A code in words: what it says by itself, or the system that its digits name."""
    base = code.partition("-")[0]
    if base in _EXACT:
        return _EXACT[base]
    for prefix, words in _CYLINDERS:
        if base.startswith(prefix) and base[4] in "123456789":
            return words.format(base[4])
    if _OXYGEN.fullmatch(base):
        return "Oxygen sensor" + (", bank 1" if base[3] in "34" and base < "P0150" else ", bank 2")
    system = _SYSTEMS.get(base[:1], "Unknown system")
    maker = base[1:2] == "1" or (base[:1] == "P" and base[1:2] == "3" and base[2:3] < "4")
    if maker or (base[:1] != "P" and base[1:2] in "12"):
        return f"{system}: the maker's own code"
    if base[:1] == "P":
        return f"{system}: {_POWERTRAIN.get(base[2:3], 'unknown').lower()}"
    return f"{system}: generic code"
