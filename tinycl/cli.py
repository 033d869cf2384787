"""The command line: `tinycl COMMAND --help` says what each command does."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from arch.chip import Chip, shipped
from arch.errors import InputError
from arch.files import write_whole
from arch.program import Program
from tinycl.failures import one_line
from tinycl.models import LOSS_OPTIONS
from tinycl.show import err, facts, out, progress, tables

_CHIP_HELP = f"A shipped chip ({', '.join(shipped())}) or a YAML file."
_BITS_HELP = (
    "Bits, 8 or 16, of the elements of weights, activations or gradients, such as weights=8: they saturate there, and "
    "lie outside as bytes. May be repeated; a mapping says it of single layers."
)
_SET_HELP = "Change a field of the chip, such as program_memory.instructions=65536; may be repeated."
_SATURATED = 0.001
"""The share of saturated results from which on `simulate` says so."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="tinycl")
def main() -> None:
    """Compile networks for a small training chip, run them bit- and cycle-exact, and write the chip's Verilog.

    \b
    Start with:   tinycl demo
    Then:         tinycl compile MODEL.onnx -o net.tcl && tinycl simulate net.tcl --steps 100
    """
    warnings.formatwarning = lambda message, *_, **__: f"tinycl: {message}\n"


@main.command()
@click.option("--chip", default="paper", show_default=True, help=_CHIP_HELP)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1, 100), help="Training runs.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(1, 1000), help="Passes over the digits.")
@click.option("--rtl-steps", default=2, show_default=True, type=click.IntRange(1, 20), help="Of each network, on RTL.")
@click.option("--cifar", type=click.Path(path_type=Path), help="CIFAR-10's python archive; made images without it.")
@click.option("-o", "--output", default="build/demo", show_default=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@one_line
def demo(chip: str, seeds: int, epochs: int, rtl_steps: int, cifar: Path | None, output: Path, as_json: bool) -> None:
    """Train on real digits on the simulated chip, then run the same program on its Verilog.

    Reports accuracy beside a float64 twin, cycles and memory traffic, the reference network beside the paper, and
    compares fast simulator, stepping simulator and RTL (Verilator) as each instruction retires.
    """
    from tinycl.demo import Plan, run, show
    from tinycl.training import Recipe

    plan = Plan(output, Chip.load(chip), seeds, Recipe(epochs=epochs), rtl_steps, cifar)
    err.print("the first run compiles the simulators and the Verilog: a minute or two; later ones are quick")
    with progress() as bar:
        result = run(plan, bar)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        show(result)
    if result["rtl"]["differences"]:
        raise SystemExit(1)


def _check_untrained() -> None:
    """Refuse what only training reads."""
    context = click.get_current_context()
    for name in ("loss", "learning_rate", "momentum", "weight_decay", "micro_batch"):
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise InputError(f"--{name.replace('_', '-')} must come with --train")
    if any(setting.startswith("gradients") for setting in context.params["bits"]):
        raise InputError("--bits gradients must come with --train")


@main.command("compile")
@click.argument("model")
@click.option("--chip", default="paper", show_default=True, help=_CHIP_HELP)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help=_SET_HELP)
@click.option("--train", is_flag=True, help="A training step too; adds the loss that the network lacks.")
@click.option("--loss", type=click.Choice(list(LOSS_OPTIONS)), help="The loss to add.  [default: cross-entropy]")
@click.option("--learning-rate", default=2.0**-6, show_default=True, help="A power of two from 2**-24 to 1.")
@click.option("--momentum", default=0.0, show_default=True, help="As PyTorch's SGD has it.")
@click.option("--weight-decay", default=0.0, show_default=True, help="As PyTorch's SGD has it.")
@click.option(
    "--micro-batch", default=1, show_default=True, help="Samples whose gradients are summed before an update."
)
@click.option(
    "--batch-norm",
    type=click.Choice(["folded", "frozen", "batch"]),
    help="batch: by statistics of the micro-batch.  [default: folded; frozen with --train]",
)
@click.option("--skip", is_flag=True, help="Leave out what costs no cycle where values are zero.")
@click.option("--bits", multiple=True, metavar="ROLE=BITS", help=_BITS_HELP)
@click.option(
    "--rounding",
    default="rnd",
    show_default=True,
    type=click.Choice(["rnd", "rnd_conv", "trn"]),
    help="Of maps, as ap_fixed names it; rnd_conv is that of a quantised ONNX model.",
)
@click.option("--mapping", type=click.Path(path_type=Path), help="YAML of choices forced on layers.")
@click.option("--parameters", type=click.Path(path_type=Path), help=".npz of float arrays in place of the model's.")
@click.option(
    "--calibration", type=click.Path(path_type=Path), help=".npz of samples and labels; made ones without it."
)
@click.option(
    "--headroom",
    type=click.FloatRange(1, 1024),
    help="Times that values may grow beyond calibration's before they saturate.  [default: 2; more in training where "
    "calibration is short]",
)
@click.option("--check", default=0, type=click.IntRange(0, 10_000), help="Samples to run and compare with float64.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of parameters, samples, rounding.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The program file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (docs/report.md).")
@one_line
def compile_command(
    model: str,
    chip: str,
    settings: tuple[str, ...],
    loss: str | None,
    parameters: Path | None,
    calibration: Path | None,
    mapping: Path | None,
    headroom: float | None,
    bits: tuple[str, ...],
    rounding: str,
    check: int,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile MODEL to a program file, and report cycles, what limits them, traffic and formats.

    \b
    MODEL is an ONNX file, a YAML description, or a shipped network:
    digits, reference, resnet8, and with PyTorch ds_cnn, mobilenet, autoencoder.

    \b
    name: small
    input: [1, 8, 8]
    layers:
      - conv: {filters: 4}
      - relu
      - dense: {outputs: 10}
      - softmax_cross_entropy
    """
    from arch.isa import Rounding
    from compiler import Bits, Options
    from explore.chips import changed
    from tinycl.compilation import Request, compile_model

    options |= {"batch_norm": options["batch_norm"] or "", "rounding": Rounding[rounding.upper()]}
    options["bits"] = Bits.of(bits)
    if not options["train"]:
        _check_untrained()
    target = changed(Chip.load(chip), settings)
    request = Request(model, target, Options(**options), loss, parameters, calibration, mapping, check, headroom)
    compiled = compile_model(request)
    assert compiled.build.program and compiled.build.reports
    if output:
        compiled.build.program.save(output)
    for note in compiled.notes:
        err.print(note, highlight=False)
    reports = compiled.build.reports
    if as_json:
        click.echo(json.dumps({name: item.model_dump() for name, item in reports.items()}, indent=1))
        return
    for table in tables(list(reports.values())):
        out.print(table)
    if output:
        out.print(f"wrote {output}")


@main.command()
@click.argument("sweep")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 1024), help="Processes.")
@click.option("--backend", default="joblib", show_default=True, type=click.Choice(["joblib", "dask"]))
@click.option("--scheduler", default="", help="Of the Dask cluster, HOST:PORT.")
@click.option("--store", type=click.Path(path_type=Path), help="Rows are kept here; a sweep that was cut off goes on.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The whole table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole table as JSON, a row an object.")
@one_line
def explore(
    sweep: str,
    workers: int,
    backend: Literal["joblib", "dask"],
    scheduler: str,
    store: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Try the chips and networks of SWEEP, and print the best points.

    \b
    SWEEP is a YAML file, or a shipped sweep: balance, better, lanes.
    networks: [reference, MODEL.onnx]
    chips:
      - base: paper
        vary:
          lanes: [4, 8, 16]
          weight_memory.bytes: [65536, 180224]
    pareto: {minimise: [cycles, memory_bytes]}
    """
    from explore.runner import Crew
    from explore.sweep import Sweep
    from tinycl.exploration import shown, swept

    table, front = swept(Sweep.load(sweep), Crew(workers, backend, scheduler), store)
    if output:
        write_whole(output, table.to_csv(index=False).encode())
    if as_json:
        click.echo(table.to_json(orient="records"))
        return
    for item in shown(table, front):
        out.print(item)


@main.command()
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--chip", help="Refuse a program that was built for another chip than this one.")
@click.option("--entry", default="infer", show_default=True, help="What to run: infer or train.")
@click.option("--steps", default=1, show_default=True, type=click.IntRange(1, 10**7))
@click.option("--data", type=click.Path(path_type=Path), help=".npz with samples and labels; made ones without it.")
@click.option("--stepped", is_flag=True, help="Clock by clock instead of instruction by instruction.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Write the first pass's timeline: JSON for chrome://tracing, Perfetto.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Save the program as it is then.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@one_line
def simulate(
    program: Path,
    chip: str | None,
    entry: str,
    steps: int,
    data: Path | None,
    stepped: bool,
    trace: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Run a compiled PROGRAM on made or given samples; print cycles and every counted event."""
    from tinycl.simulation import simulate_program

    loaded = Program.load(program, Chip.load(chip) if chip else None)
    if trace:
        from tinycl.tracing import trace_pass

        trace_pass(loaded, entry, data, trace)
    result = simulate_program(loaded, entry, steps, data, stepped)
    if output:
        loaded.save(output)
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    rows = {"cycles of the last pass": f"{result['cycles']:,}"}
    if steps > 1:
        rows["cycles of all"] = f"{result['all_cycles']:,}"
    for engine, events in result["counters"].items():
        rows |= {f"{engine} {name.lower().replace('_', ' ')}": f"{count:,}" for name, count in events.items() if count}
    rows |= {name: f"{count:,}" for name, count in result["activity"].items()}
    out.print(facts(f"{steps} x {entry} of {program}", rows))
    if result["saturated"] > _SATURATED:
        err.print(f"{result['saturated']:.1%} of all results saturated: calibrate with more samples, or --headroom")


@main.command()
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--chip", help="Refuse a program that was built for another chip than this one.")
@click.option("--tech", default="65nm", show_default=True, help="A shipped technology or a YAML file.")
@click.option("--entry", default="", help="What to estimate.  [default: train, or the only one]")
@click.option("--clock", type=float, help="Clock period in ns.  [default: the chip's]")
@click.option("--voltage", type=float, help="Supply in V.  [default: the technology's, whose spread is in the range]")
@click.option("--clock-gating/--no-clock-gating", default=True, help="Clock gates as chips have them, or none (FPGA).")
@click.option("--zeros", type=float, help="Assumed share of products with a zero operand, 0 to 1.")
@click.option("--data", type=click.Path(path_type=Path), help=".npz of samples and labels to count events on.")
@click.option("--device", help="Battery life and heat in coin-cell, wearable, phone or a YAML file.")
@click.option("--csv", type=click.Path(path_type=Path), help="Write energy by layer, phase and component.")
@click.option("--area-csv", type=click.Path(path_type=Path), help="Write area by component.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write a PNG: energy by layer, and a roofline.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@one_line
def estimate(
    program: Path,
    chip: str | None,
    csv: Path | None,
    area_csv: Path | None,
    picture: Path | None,
    as_json: bool,
    tech: str,
    **options: Any,
) -> None:
    """Estimate what a pass of a compiled PROGRAM takes in joules, and its chip in mm2, with error bars.

    Every number is a central value and a range; what the range rests on is printed last.

    \b
    Technologies:  65nm, 45nm, ihp130 and sky130 (130 nm), osu180 (180 nm), or a YAML file
    What if:       tinycl estimate net.tcl --tech 45nm --clock 5 --voltage 0.8
    On your data:  tinycl estimate net.tcl --data samples.npz --csv energy.csv --picture energy.png
    In a device:   tinycl estimate net.tcl --device coin-cell

    docs/estimation.md says where every number comes from and how to add a technology.
    """
    from tinycl.estimation import Request, estimate_program, shown

    options["clock_ns"] = options.pop("clock")
    loaded = Program.load(program, Chip.load(chip) if chip else None)
    found = estimate_program(loaded, Request(tech, **options))
    if csv:
        write_whole(csv, found.energy.table().to_csv(index=False).encode())
    if area_csv:
        write_whole(area_csv, found.area.table().to_csv(index=False).encode())
    if picture:
        from estimate.pictures import draw

        draw(found.energy, picture)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
        return
    for table in shown(found):
        out.print(table)


@main.command()
@click.option("--chip", default="paper", show_default=True, help=_CHIP_HELP)
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0), help="Of programs, memories and scenarios."
)
@click.option("--programs", default=60, show_default=True, type=click.IntRange(1), help="Cases, of two programs each.")
@click.option("--length", default=12, show_default=True, type=click.IntRange(1, 100), help="Instructions of a program.")
@click.option("--replay", type=click.Path(path_type=Path), help="Run the one case of this file; write a waveform.")
@click.option("-o", "--output", default="build/verify", show_default=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@one_line
def verify(chip: str, seed: int, programs: int, length: int, replay: Path | None, output: Path, as_json: bool) -> None:
    """Run random programs on the stepping simulator and on the Verilog in lock-step.

    Control state, every memory write and every counter are compared in every cycle; bus stalls, aborts, resets and
    illegal instructions come in turn. Stops at the first difference with exit status 1 and a file to replay it.
    """
    from tinycl.verify import Plan, Replay, described, to_json
    from tinycl.verify import verify as run

    plan = Plan.of(Replay.load(replay), output) if replay else Plan(Chip.load(chip), seed, programs, length, output)
    err.print("the first run compiles the chip's Verilog and the comparison: a minute or two; later ones are quick")
    with progress() as bar:
        result = run(plan, bar)
    if as_json:
        click.echo(to_json(result))
    else:
        for line in described(result):
            click.echo(line)
    if result["difference"]:
        raise SystemExit(1)


@main.command()
@click.option("--chip", default="paper", show_default=True, help=_CHIP_HELP)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help=_SET_HELP)
@click.option("-o", "--output", default="tinycl.v", show_default=True, type=click.Path(path_type=Path))
@one_line
def rtl(chip: str, settings: tuple[str, ...], output: Path) -> None:
    """Write a chip's synthesizable Verilog, one file with no other needs; the top module is `tinycl`."""
    from explore.chips import changed
    from rtl.chip import TinyCL
    from rtl.verilog import to_verilog

    text = to_verilog(TinyCL(changed(Chip.load(chip), settings)), name="tinycl")
    write_whole(output, text.encode())
    out.print(f"wrote {output}: {len(text.splitlines()):,} lines")
