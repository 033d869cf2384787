"""What an energy means in a device: how long its battery lasts, and how warm the chip gets, in plain words."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from estimate.energy import Energy
from estimate.ranges import Range

DEVICES = Path(__file__).parent / "devices"


def devices() -> dict[str, Path]:
    """The devices that come with tinycl, by name."""
    return {path.stem: path for path in sorted(DEVICES.glob("*.yaml"))}


class Device(BaseModel):
    """A battery and a case around the chip, which is their only load.

    `battery_wh` Wh, of which `efficiency` reaches the chip; `battery_w`: the most the battery gives, W;
    `kelvin_per_watt`: how much warmer the chip gets than its surroundings of `ambient_c` °C; `junction_c`: the most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    about: str
    battery_wh: float = Field(gt=0)
    efficiency: float = Field(gt=0, le=1)
    battery_w: float = Field(gt=0)
    kelvin_per_watt: float = Field(gt=0)
    ambient_c: float = Field(ge=-60, le=150)
    junction_c: float = Field(ge=-60, le=200)

    @classmethod
    def load(cls, name: str | Path) -> Device:
        """A shipped device by name, or a YAML file. Raises `InputError` naming every wrong field at once."""
        try:
            text = read_text(devices().get(str(name), Path(name)), LARGEST_YAML)
        except InputError as error:
            raise InputError(f"device {error}; give a YAML file or one of {', '.join(devices())}") from None
        try:
            return cls.model_validate(parse_yaml(text, f"device {name}"))
        except ValidationError as error:
            raise InputError(f"device {name}: {described(error)}") from None

    @property
    def joules(self) -> float:
        """What the battery gives the chip, J."""
        return self.battery_wh * 3600 * self.efficiency

    def passes(self, energy: Range) -> Range:
        """How many passes of so many joules a full battery pays for."""
        return Range(self.joules / energy.high, self.joules / energy.central, self.joules / energy.low)

    def kelvin(self, power: Range) -> Range:
        """How much warmer than its surroundings the chip is at so many watts."""
        return power * self.kelvin_per_watt


def told(device: Device, energy: Energy) -> list[str]:
    """Sentences on a battery's life and on heat, with the memory off the chip counted in."""
    pass_ = Range(*(getattr(energy.total, end) + getattr(energy.external, end) for end in ("low", "central", "high")))
    power = pass_ * (1 / energy.seconds)
    passes, warmer = device.passes(pass_), device.kelvin(power)
    hours = passes * (energy.seconds / 3600)
    name = energy.workload.entry
    return [
        f"A full battery of the {device.name} ({device.about}) pays for {_count(passes)} passes of {name}, or "
        f"{_span(hours)} without a pause, if the chip is its only load.",
        _delivered(device, power),
        f"The chip gets {_short(warmer)} K warmer than its surroundings, {_limit(device, warmer)}.",
    ]


def _delivered(device: Device, power: Range) -> str:
    if device.battery_w * device.efficiency >= power.high:
        return f"The battery can give that power: {power.described('W')} of {device.battery_w:g} W at most."
    slower = power.central / (device.battery_w * device.efficiency)
    way = f"a clock {slower:.1f} times slower would do" if slower > 1 else "at the high end of the range it falls short"
    return f"The battery gives {device.battery_w:g} W at most, and the chip takes {power.described('W')}: {way}."


def _limit(device: Device, warmer: Range) -> str:
    room = device.junction_c - device.ambient_c
    if warmer.high <= room:
        return f"within the {room:g} K that the case allows"
    if warmer.low > room:
        return f"more than the {room:g} K that the case allows: slow the clock or pause between passes"
    return f"perhaps more than the {room:g} K that the case allows"


def _short(item: Range) -> str:
    return f"{item.central:.2g} ({item.low:.2g} to {item.high:.2g})"


def _count(item: Range) -> str:
    return f"{item.central:,.0f} ({item.low:,.0f} to {item.high:,.0f})"


def _span(hours: Range) -> str:
    scale, unit = (24, "days") if hours.central >= 72 else (1, "hours")
    return _short(hours * (1 / scale)) + f" {unit}"
