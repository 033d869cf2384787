"""Coefficients of area, a component at a time, from the measured chips; `python -m synthesis.fit` writes the tables.

For each component a non-negative least-squares fit of its area over its units (`estimate.structure`), each chip
weighted by 1 / area so that relative errors count. Needs no library: the measurements are data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sklearn.linear_model import LinearRegression

from arch.chip import Chip
from arch.errors import InputError
from arch.files import write_whole
from estimate.logic import TABLES, AreaUnits, Held, SynthesisTable, features
from estimate.structure import structure
from synthesis.chips import FITTED, HELD_OUT
from synthesis.mapping import PERIOD_PS

AREAS = TABLES / "areas.csv"
"""Measured areas: library, chip, component, µm² of it all and of its flip-flops, cells, ABC's delay in ps."""
LIBRARIES = TABLES / "libraries.csv"
"""What a table says of its library: name, node, volts, µm² of a NAND of two inputs, source."""
_RECIPE = f"synth -flatten -booth; dfflibmap; abc -D {PERIOD_PS} ps; memories are black boxes"
_DIGITS = 5
_CHIPS = {chip.name: chip for chip in (*FITTED, *HELD_OUT)}
LEAST = 12
"""Chips that a table is fitted to at least."""


def fit(areas: pd.DataFrame) -> dict[str, AreaUnits]:
    """The coefficients of each component from rows `chip`, `component`, `area_um2` of chips in `FITTED`."""
    chips = {chip.name: chip for chip in FITTED}
    rows = areas.loc[areas["chip"].isin(list(chips))]
    return {str(name): _component(str(name), group, chips) for name, group in rows.groupby("component", sort=False)}


def errors(table: Mapping[str, AreaUnits], areas: pd.DataFrame) -> pd.DataFrame:
    """Relative errors of a table: a row a component, and `all` for the whole logic; a column a measured chip."""
    found = {}
    for name, rows in areas.groupby("chip", sort=False):
        chip = _CHIPS[str(name)]
        units = structure(chip)
        known = rows.set_index("component")["area_um2"]
        modelled = pd.Series({part: table[part].area(units[part], chip.word_bits) for part in units})
        found[chip.name] = modelled / known - 1
        found[chip.name].loc["all"] = modelled.sum() / known.sum() - 1
    return pd.DataFrame(found)


def held_out(table: Mapping[str, AreaUnits], areas: pd.DataFrame) -> Held:
    """Errors of whole chips in `HELD_OUT`, as far as they are measured."""
    rows = areas.loc[areas["chip"].isin([chip.name for chip in HELD_OUT])]
    if rows.empty:
        raise InputError(
            "no chip held out from the fit is measured; `python -m synthesis.campaign LIBERTY tiny` measures one"
        )
    found = {str(chip): round(float(error), 4) for chip, error in errors(table, rows).loc["all"].items()}
    sizes = [abs(error) for error in found.values()]
    return Held(chips=found, mean_error=round(float(np.mean(sizes)), 4), worst_error=max(sizes))


def _component(name: str, rows: pd.DataFrame, chips: Mapping[str, Chip]) -> AreaUnits:
    known = [chips[chip] for chip in rows.chip]
    inputs = np.array([features(structure(chip)[name], chip.word_bits) for chip in known])
    measured = rows.area_um2.to_numpy()
    coefficients = _non_negative(inputs / measured[:, None])
    modelled = inputs @ coefficients
    errors = np.abs(modelled / measured - 1)
    return AreaUnits(
        **dict(zip(list(AreaUnits.model_fields)[: len(coefficients)], map(float, coefficients), strict=True)),
        mean_error=round(float(errors.mean()), 4),
        worst_error=round(float(errors.max()), 4),
        smallest=round(float(modelled.min()), 1),
        largest=round(float(modelled.max()), 1),
    )


def _non_negative(inputs: np.ndarray) -> np.ndarray:
    """The coefficients ≥ 0 whose combination of the inputs is nearest to 1, to `_DIGITS` digits."""
    scale = np.maximum(inputs.max(axis=0), 1e-30)
    model = LinearRegression(positive=True, fit_intercept=False).fit(inputs / scale, np.ones(len(inputs)))
    return np.array([float(f"{value:.{_DIGITS}g}") for value in model.coef_ / scale])


def make_table(library: Mapping[str, object], areas: pd.DataFrame) -> SynthesisTable:
    """The table of one library from its measured areas."""
    own = areas.loc[areas["library"] == library["library"]]
    names = [chip.name for chip in FITTED if chip.name in set(own["chip"])]
    if len(names) < LEAST:
        raise InputError(
            f"{library['library']}: {len(names)} chips are measured, at least {LEAST} are wanted; "
            "measure more with `python -m synthesis.campaign LIBERTY`"
        )
    table = fit(own)
    return SynthesisTable.model_validate(
        {
            **library,
            "recipe": _RECIPE,
            "fitted": names,
            "area_um2": table,
            "held_out": held_out(table, own),
        }
    )


def read() -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """The committed measurements: areas, and the libraries they are of."""
    libraries = pd.read_csv(LIBRARIES)
    return pd.read_csv(AREAS), [{str(key): value for key, value in row.items()} for row in libraries.to_dict("records")]


def told(table: SynthesisTable, areas: pd.DataFrame) -> str:
    """Errors in % for people: of each component over the chips of the fit, and on each chip held out."""
    own = areas.loc[areas["library"] == table.library]
    found = 100 * errors(table.area_um2, own)
    seen = found[table.fitted].abs()
    shown = pd.DataFrame({"fit, mean": seen.mean(axis=1), "fit, worst": seen.max(axis=1)})
    return shown.join(found[list(table.held_out.chips)]).to_string(float_format="{:.1f}".format, na_rep="")


def text_of(table: SynthesisTable) -> str:
    """The table's file."""
    return yaml.safe_dump(table.model_dump(), sort_keys=False, allow_unicode=True, width=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: writes every library's table, and prints its errors."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.fit", description="Fits the committed measurements.")
    parser.add_argument("--folder", type=Path, default=TABLES, help="where the tables are written")
    given = parser.parse_args(arguments)
    areas, libraries = read()
    refused = 0
    for library in libraries:
        try:
            table = make_table(library, areas)
        except InputError as error:
            print(f"synthesis: {error}", file=sys.stderr)
            refused = 2
            continue
        write_whole(given.folder / f"{table.library}.yaml", text_of(table).encode())
        held = table.held_out
        print(f"{table.library}: {len(table.fitted)} chips fitted; errors in % of these and of chips held out")
        print(told(table, areas))
        print(f"held out: mean error {held.mean_error:.1%}, worst {held.worst_error:.1%}")
    return refused


if __name__ == "__main__":
    raise SystemExit(main())
