"""The one list of signals: dotted name, unit, kind and plausible range.

Stored values are in the unit given here. Ranges are bounds of plausibility, wider than any real vehicle's: a
value outside is refused. OBD parameter ids are those of SAE J1979 mode 01.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "boolean", "text", "enum"]

WELL_FORMED = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*)+", re.ASCII)
LONGEST_NAME = 100
LONGEST_TEXT = 1000


@dataclass(frozen=True)
class SignalDefinition:
    """A signal as the catalog has it."""

    name: str
    unit: str
    kind: Kind
    minimum: float | None
    maximum: float | None
    description: str
    obd_pid: str = ""


def well_formed(name: str) -> bool:
    """Whether a name may become a signal: lower-case words, at least two, joined by dots."""
    return len(name) <= LONGEST_NAME and WELL_FORMED.fullmatch(name) is not None


# name | unit | minimum..maximum, or boolean, text, enum | OBD PID | description
_TABLE = """
engine.rpm | 1/min | 0..16384 | 0C | Engine speed
engine.load | % | 0..100 | 04 | Calculated engine load
engine.throttle | % | 0..100 | 11 | Throttle position
engine.coolant_temp | °C | -60..215 | 05 | Coolant temperature
engine.intake_temp | °C | -60..215 | 0F | Intake air temperature
engine.oil_temp | °C | -60..250 | 5C | Oil temperature
engine.maf | g/s | 0..700 | 10 | Mass air flow
engine.intake_pressure | kPa | 0..500 | 0B | Intake manifold pressure, absolute
engine.fuel_pressure | kPa | 0..800 | 0A | Fuel pressure, gauge
engine.fuel_rail_pressure | kPa | 0..655350 | 23 | Fuel rail pressure
engine.barometric_pressure | kPa | 0..255 | 33 | Barometric pressure
engine.boost | kPa | -105..400 | | Boost pressure, gauge
engine.timing_advance | ° | -64..64 | 0E | Timing advance before top dead centre
engine.air_fuel_ratio | 1 | 0..40 | | Air-fuel ratio
engine.lambda | 1 | 0..2 | 44 | Commanded air-fuel equivalence ratio
engine.turbo_speed | 1/min | 0..400000 | | Turbocharger speed
engine.run_time | s | 0..65535 | 1F | Time since the engine started
engine.running | 1 | boolean | | Whether the engine runs
engine.torque | % | -125..130 | 62 | Actual engine torque
engine.absolute_load | % | 0..25700 | 43 | Absolute load
engine.short_fuel_trim | % | -100..100 | 06 | Short-term fuel trim, bank 1
engine.long_fuel_trim | % | -100..100 | 07 | Long-term fuel trim, bank 1
engine.catalyst_temp | °C | -60..6514 | 3C | Catalyst temperature, bank 1 sensor 1
engine.throttle_relative | % | 0..100 | 45 | Relative throttle position
engine.accelerator | % | 0..100 | 49 | Accelerator pedal position
engine.egr | % | 0..100 | 2C | Commanded exhaust gas recirculation
engine.mil | 1 | boolean | 01 | Malfunction indicator lamp
engine.dtc_count | 1 | 0..127 | 01 | Stored trouble codes
engine.mil_distance | km | 0..65535 | 21 | Distance driven with the malfunction lamp on
engine.oil_life | % | 0..100 | | Remaining oil life
engine.oil_pressure | kPa | 0..2000 | | Oil pressure
fuel.level | % | 0..100 | 2F | Fuel level
fuel.rate | L/h | 0..3300 | 5E | Fuel rate
fuel.ethanol | % | 0..100 | 52 | Ethanol share of the fuel
fuel.amount | L | 0..2000 | | Fuel in the tank
fuel.range | km | 0..5000 | | Remaining range on the fuel in the tank
vehicle.speed | km/h | 0..500 | 0D | Speed
vehicle.wheel_speed | km/h | 0..500 | | Wheel speed
vehicle.odometer | km | 0..10000000 | A6 | Odometer
vehicle.range | km | 0..5000 | | Remaining range
vehicle.gear | | text | | Selected gear
vehicle.ignition | 1 | boolean | | Whether the ignition is on
vehicle.locked | 1 | boolean | | Whether all doors are locked
vehicle.efficiency_score | 1 | 0..10 | | Efficiency score
vehicle.acceleration_x | m/s² | -200..200 | | Acceleration forward
vehicle.acceleration_y | m/s² | -200..200 | | Acceleration to the left
vehicle.acceleration_z | m/s² | -200..200 | | Acceleration upward
vehicle.steering_angle | ° | -1440..1440 | | Steering wheel angle
vehicle.brake | % | 0..100 | | Brake pedal position
vehicle.drive_mode | | text | | Drive mode in effect
vehicle.firmware | | text | | Version of the vehicle's software
electrical.voltage | V | 0..32 | 42 | Low-voltage (12 V) system
electrical.soc | % | 0..100 | | State of charge of the low-voltage (12 V) battery
electrical.status | | text | | State of the low-voltage (12 V) battery: GOOD, WARN or BAD
motor.rpm | 1/min | -30000..30000 | | Traction motor speed
motor.temp | °C | -60..250 | | Traction motor temperature
motor.torque | N·m | -10000..10000 | | Traction motor torque
traction_battery.soc | % | 0..100 | 5B | State of charge
traction_battery.soh | % | 0..110 | | State of health
traction_battery.voltage | V | 0..1200 | | Pack voltage
traction_battery.current | A | -3000..3000 | | Pack current, sign as sent
traction_battery.power | kW | -1500..1500 | | Pack power
traction_battery.temp_max | °C | -60..150 | | Warmest cell
traction_battery.temp_min | °C | -60..150 | | Coldest cell
traction_battery.cell_block_a | °C | -60..150 | | Cell block A
traction_battery.cell_block_b | °C | -60..150 | | Cell block B
traction_battery.cell_block_c | °C | -60..150 | | Cell block C
traction_battery.capacity | kWh | 0..1000 | | Nominal capacity
traction_battery.range | km | 0..5000 | | Remaining range on the traction battery
traction_battery.range_estimated | km | 0..5000 | | Remaining range as recent driving suggests
traction_battery.range_ideal | km | 0..5000 | | Remaining range under ideal conditions
traction_battery.range_rated | km | 0..5000 | | Remaining range by the official test cycle
traction_battery.heater | 1 | boolean | | Whether the battery is being heated
traction_battery.max_range_charges | 1 | 0..1000000 | | Charges to the maximum range, ever
charge.limit | % | 0..100 | | Charge limit
charge.state | | text | | charging, complete, stopped or unplugged
charge.plugged_in | 1 | boolean | | Whether a cable is plugged in
charge.power | kW | 0..1500 | | Charging power
charge.voltage | V | 0..1200 | | Charging voltage
charge.current | A | -1000..1000 | | Charging current
charge.active | 1 | boolean | | Whether it charges
charge.current_max | A | 0..3000 | | Largest charging current on offer
charge.current_requested | A | 0..3000 | | Charging current that the vehicle asks for
charge.phases | 1 | 0..12 | | Phases that the charger offers
charge.rate | km/h | 0..5000 | | Range added per hour of charging
charge.energy_added | kWh | 0..1000 | | Energy added in the latest charge
charge.time_to_complete | min | 0..100000 | | Time until the charge limit is reached
charge.cable_latched | 1 | boolean | | Whether the cable is locked in place
charge.port_open | 1 | boolean | | Whether the charging flap is open
charge.port_color | | text | | Colour of the light at the charging port
charge.connector | | text | | Kind of the charging inlet
charge.fast_charger | 1 | boolean | | Whether a fast charger is connected
charge.fast_charger_type | | text | | Kind of the fast charger
charge.records | | text | | Past charges: JSON, or how many
charge.timers | | text | | Planned charges: JSON, or how many
location.latitude | ° | -90..90 | | Latitude, WGS 84
location.longitude | ° | -180..180 | | Longitude, WGS 84
location.altitude | m | -500..10000 | | Altitude
location.speed | km/h | 0..500 | | Speed over ground
location.heading | ° | 0..360 | | Heading from true north
location.accuracy | m | 0..100000 | | Horizontal accuracy
location.satellites | 1 | 0..100 | | Satellites in use
location.hdop | 1 | 0..100 | | Horizontal dilution of precision
location.at_home | 1 | boolean | | Whether it stands where its owner is at home
tire.front_left | kPa | 0..1500 | | Tyre pressure front left
tire.front_right | kPa | 0..1500 | | Tyre pressure front right
tire.rear_left | kPa | 0..1500 | | Tyre pressure rear left
tire.rear_right | kPa | 0..1500 | | Tyre pressure rear right
closure.door_front_left_open | 1 | boolean | | Whether the door front left is open
closure.door_front_left_locked | 1 | boolean | | Whether the door front left is locked
closure.door_front_right_open | 1 | boolean | | Whether the door front right is open
closure.door_front_right_locked | 1 | boolean | | Whether the door front right is locked
closure.door_rear_left_open | 1 | boolean | | Whether the door rear left is open
closure.door_rear_left_locked | 1 | boolean | | Whether the door rear left is locked
closure.door_rear_right_open | 1 | boolean | | Whether the door rear right is open
closure.door_rear_right_locked | 1 | boolean | | Whether the door rear right is locked
closure.window_front_left_open | 1 | boolean | | Whether the window front left is open
closure.window_front_right_open | 1 | boolean | | Whether the window front right is open
closure.window_rear_left_open | 1 | boolean | | Whether the window rear left is open
closure.window_rear_right_open | 1 | boolean | | Whether the window rear right is open
closure.hood_open | 1 | boolean | | Whether the hood over the engine is open
closure.sunroof_open | 1 | boolean | | Whether the sunroof is open
closure.front_trunk_open | 1 | boolean | | Whether the front trunk is open
closure.front_trunk_locked | 1 | boolean | | Whether the front trunk is locked
closure.rear_trunk_open | 1 | boolean | | Whether the rear trunk is open
closure.rear_trunk_locked | 1 | boolean | | Whether the rear trunk is locked
closure.tailgate_open | 1 | boolean | | Whether the tailgate is open
closure.tailgate_locked | 1 | boolean | | Whether the tailgate is locked
cabin.temp | °C | -60..120 | | Cabin temperature
cabin.humidity | % | 0..100 | | Cabin humidity
climate.active | 1 | boolean | | Whether the cabin is heated, cooled or aired
climate.target_temp | °C | -40..60 | | Cabin temperature asked for
climate.front_defroster | 1 | boolean | | Whether the windscreen is defrosted
climate.rear_defroster | 1 | boolean | | Whether the rear window is defrosted
climate.steering_heater | 1 | boolean | | Whether the steering wheel is heated
ambient.temp | °C | -60..80 | 46 | Outside temperature
device.battery_level | % | 0..100 | | Battery of the sending device
device.dropped_frames | 1 | 0..1000000000000000 | | Frames that the device let go unsent, ever
connectivity.wifi | 1 | boolean | | Wi-Fi connected
connectivity.bluetooth | 1 | boolean | | Bluetooth connected
connectivity.can_bus | 1 | boolean | | CAN bus connected
connectivity.online | 1 | boolean | | Whether the vehicle reaches its maker's cloud
connectivity.asleep | 1 | boolean | | Whether the vehicle sleeps
connectivity.digital_key | 1 | boolean | | Whether a digital key is paired
diagnostics.codes | | text | | Active trouble codes with blanks between, empty for none
diagnostics.abs | | text | | Anti-lock brakes: OK or ALERT
diagnostics.active_safety | | text | | Active safety: OK or ALERT
diagnostics.airbag | | text | | Airbags: OK or ALERT
diagnostics.brake_fluid | | text | | Brake fluid: OK or ALERT
diagnostics.driver_assistance | | text | | Driver assistance: OK or ALERT
diagnostics.emissions | | text | | Emissions: OK or ALERT
diagnostics.ev_battery_conditioning | | text | | Conditioning of the traction battery: OK or ALERT
diagnostics.ev_charging | | text | | Charging system: OK or ALERT
diagnostics.ev_drive_unit | | text | | Electric drive unit: OK or ALERT
diagnostics.ev_hv_battery | | text | | Traction battery: OK or ALERT
diagnostics.lighting | | text | | Lighting: OK or ALERT
diagnostics.mil | | text | | Malfunction indicator lamp: OK or ALERT
diagnostics.oil_life | | text | | Oil life: OK or ALERT
diagnostics.oil_pressure | | text | | Oil pressure: OK or ALERT
diagnostics.oil_temperature | | text | | Oil temperature: OK or ALERT
diagnostics.telematics | | text | | Telematics: OK or ALERT
diagnostics.tire_pressure | | text | | Tyre pressure: OK or ALERT
diagnostics.tire_pressure_monitoring | | text | | Tyre pressure monitoring: OK or ALERT
diagnostics.transmission | | text | | Transmission: OK or ALERT
diagnostics.washer_fluid | | text | | Washer fluid: OK or ALERT
diagnostics.water_in_fuel | | text | | Water in the fuel: OK or ALERT
service.in_service | 1 | boolean | | Whether the vehicle is in a workshop
service.records | | text | | Past services: JSON, or how many
surveillance.enabled | 1 | boolean | | Whether the vehicle watches its surroundings
surveillance.brand | | text | | The maker's name for its surveillance
identity.vin | | text | | Vehicle identification number
identity.nickname | | text | | What its owner calls it
identity.trim | | text | | Trim level
identity.color | | text | | Colour outside
identity.packages | | text | | Option packages
identity.wheel_style | | text | | Style of the wheels
account.role | | text | | Role of the connected account at the maker
account.permissions | | text | | What the maker lets the connected account do
media.title | | text | | Track title
media.artist | | text | | Artist
media.playing | 1 | boolean | | Whether media plays
media.volume | % | 0..100 | | Volume
media.position | s | 0..1000000 | | Position in the track
settings.charge_limit | % | 0..100 | | Desired charge limit
settings.regen_level | | text | | Regeneration level: off, low, standard or high
settings.drive_mode | | text | | Drive mode
settings.brightness | % | 0..100 | | Screen brightness
settings.theme | | text | | Screen theme
settings.light_theme | 1 | boolean | | Whether the screen is light
settings.predictions_on | 1 | boolean | | Whether the screen shows predictions
settings.twin_mode | | text | | How the screen draws the vehicle: 2d or 3d
"""


def _parse(line: str) -> SignalDefinition:
    name, unit, domain, pid, description = (part.strip() for part in line.split("|"))
    if domain == "boolean":
        return SignalDefinition(name, unit, "boolean", 0, 1, description, pid)
    if domain in ("text", "enum"):
        return SignalDefinition(name, unit, "text" if domain == "text" else "enum", None, None, description, pid)
    low, high = domain.split("..")
    return SignalDefinition(name, unit, "number", float(low), float(high), description, pid)


CATALOG: tuple[SignalDefinition, ...] = tuple(_parse(line) for line in _TABLE.strip().splitlines())
BY_NAME = {signal.name: signal for signal in CATALOG}
