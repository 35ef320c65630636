"""Forms of the vehicle and device pages."""

from __future__ import annotations

from typing import Any

from django import forms

from fleet.accounts.models import Organization
from fleet.lib.fields import NameField
from fleet.lib.public_ids import Kind, number_of
from vehicles import vin as vin_numbers
from vehicles.models import Powertrain, Vehicle


class VehicleForm(forms.Form):
    """A new vehicle; only the name is required."""

    name = NameField(max_length=120)
    vin = forms.CharField(max_length=40, required=False, label="VIN", help_text="17 characters; tells make and year.")
    make = forms.CharField(max_length=60, required=False)
    model = forms.CharField(max_length=60, required=False)
    powertrain = forms.ChoiceField(choices=Powertrain.choices, required=False)

    def clean_vin(self) -> str | None:
        """The VIN as stored, None for none."""
        vin = vin_numbers.normal(self.cleaned_data["vin"])
        problem = vin_numbers.problem(vin) if vin else None
        if problem:
            raise forms.ValidationError(problem)
        return vin or None


class VehiclesField(forms.ModelMultipleChoiceField):
    """Vehicles by their public ids."""

    def prepare_value(self, value: Any) -> Any:
        """What stands in an option."""
        return value.public_id if isinstance(value, Vehicle) else super().prepare_value(value)

    def clean(self, value: Any) -> Any:
        """The vehicles of the chosen options."""
        return super().clean([number_of(Kind.VEHICLE, str(each)) for each in value or ()])


class DeviceForm(forms.Form):
    """A new device."""

    name = NameField(max_length=120, help_text="Where it is, such as “Pi in the blue Focus”.")
    vehicles = VehiclesField(
        Vehicle.objects.none(), required=False, help_text="None chosen: it may write every vehicle."
    )

    def __init__(self, *args: object, organization: Organization) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        field = self.fields["vehicles"]
        assert isinstance(field, VehiclesField)
        field.queryset = organization.vehicles.filter(archived_at=None)
