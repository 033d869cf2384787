"""The main job: digits are learnt on the simulated chip, and the same program runs on its Verilog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from arch.chip import Chip
from arch.files import write_whole
from arch.program import Program
from compiler.pipeline import TRAIN
from compiler.report import Report, report
from rtl.chip import TinyCL
from rtl.verilog import to_verilog
from tinycl.agreement import Agreement, agree
from tinycl.data import DataSet, cifar10, digits
from tinycl.estimation import Request, brief, estimate_program
from tinycl.networks import digits_network
from tinycl.paper import TECHNOLOGY
from tinycl.picture import draw
from tinycl.reference import comparison, compile_reference, train_report
from tinycl.reference import images as made_images
from tinycl.show import facts, out, report_table, traffic_table
from tinycl.speed import Speed, measure
from tinycl.training import Recipe, Trained, chip_inputs, train_both


@dataclass(frozen=True)
class Plan:
    """What the demo runs. `rtl_steps` training steps of each network go through Verilator."""

    output: Path
    chip: Chip
    seeds: int = 5
    recipe: Recipe = Recipe()
    rtl_steps: int = 2
    cifar: Path | None = None


def run(plan: Plan, bar: Progress) -> dict:
    """Run the plan and return the object that `--json` prints; writes the Verilog and the picture to `plan.output`."""
    data = digits()
    images = cifar10(plan.cifar) if plan.cifar else made_images()
    reference = compile_reference(plan.chip, images)
    one_port = compile_reference(_one_port(plan.chip), images)
    assert reference.program
    estimated = estimate_program(reference.program, Request(TECHNOLOGY), "reference")
    verilog = _write_verilog(plan, bar)
    trained = _train(plan, data, bar)
    program = trained[0].program
    assert program and reference.program
    found = _agree(plan, trained[0], data, reference.program, images, bar)
    task = bar.add_task("speed: fast simulator against Verilator", total=None)
    speed = measure(reference.program, chip_inputs(reference.program, images.samples, images.labels))
    bar.remove_task(task)
    cost = train_report(reference)
    picture = plan.output / "demo.png"
    draw(trained, _digits_report(program), cost, picture)
    return {
        "accuracy": _accuracy(trained, data),
        "digits": {"report": _digits_report(program).model_dump()},
        "reference": {
            "images": images.name,
            "made": images.made,
            "cycles_per_step": cost.cycles,
            "cycles_per_step_one_port": train_report(one_port).cycles,
            "report": cost.model_dump(),
            "report_one_port": train_report(one_port).model_dump(),
        },
        "estimate": estimated.to_dict(),
        "rtl": _rtl(found),
        "speed": _speed(speed, cost.clock_ns),
        "files": {"verilog": str(verilog), "picture": str(picture)},
    }


def _one_port(chip: Chip) -> Chip:
    fields = chip.model_dump()
    return chip.replace(name=f"{chip.name}-one-port", weight_memory={**fields["weight_memory"], "banks": 1})


def _train(plan: Plan, data: DataSet, bar: Progress) -> list[Trained]:
    task = bar.add_task("training on the chip and in float64", total=plan.seeds * plan.recipe.epochs)
    network = digits_network()
    trained = [
        train_both(network, plan.chip, data, seed, plan.recipe, progress=lambda: bar.advance(task))
        for seed in range(plan.seeds)
    ]
    bar.remove_task(task)
    return trained


def _write_verilog(plan: Plan, bar: Progress) -> Path:
    task = bar.add_task("writing the chip's Verilog", total=None)
    path = plan.output / "tinycl.v"
    write_whole(path, to_verilog(TinyCL(plan.chip), name="tinycl").encode())
    bar.remove_task(task)
    return path


def _agree(
    plan: Plan, trained: Trained, data: DataSet, reference: Program, images: DataSet, bar: Progress
) -> list[Agreement]:
    task = bar.add_task("the same steps on RTL under Verilator", total=None)
    steps = np.arange(plan.rtl_steps)
    assert trained.program
    jobs = [
        (trained.program, chip_inputs(trained.program, data.samples[steps], data.labels[steps])),
        (reference, chip_inputs(reference, images.samples[steps], images.labels[steps])),
    ]
    found = agree(jobs, TRAIN)
    bar.remove_task(task)
    return found


def _digits_report(program: Program) -> Report:
    return report(program, TRAIN, "digits")


def _accuracy(trained: list[Trained], data: DataSet) -> dict:
    chip = [item.chip[-1] for item in trained]
    twin = [item.float64[-1] for item in trained]
    return {
        "data": data.name,
        "seeds": len(trained),
        "epochs": len(trained[0].chip),
        "chip": round(100 * float(np.mean(chip)), 3),
        "float64": round(100 * float(np.mean(twin)), 3),
        "chip_by_seed": [round(100 * value, 3) for value in chip],
        "float64_by_seed": [round(100 * value, 3) for value in twin],
        "saturations_per_step": sum(item.saturations for item in trained) / sum(item.steps for item in trained),
        "lost_updates_per_step": sum(item.lost_updates for item in trained) / sum(item.steps for item in trained),
    }


def _rtl(found: list[Agreement]) -> dict:
    return {
        "steps": sum(item.steps for item in found),
        "cycles": sum(item.cycles for item in found),
        "retirements": sum(item.retirements for item in found),
        "differences": sum(len(item.differences) for item in found),
        "first_differences": [line for item in found for line in item.differences][:10],
    }


def _speed(speed: Speed, clock_ns: float) -> dict:
    chip = 1e9 / clock_ns
    return {
        "chip_cycles_per_second": round(speed.fast),
        "stepping_cycles_per_second": round(speed.stepping),
        "verilator_cycles_per_second": round(speed.verilator),
        "fast_over_chip": round(speed.fast / chip, 3),
        "fast_over_verilator": round(speed.fast / speed.verilator, 1),
    }


def show(result: dict) -> None:
    """Print what `run` found."""
    reference = Report.model_validate(result["reference"]["report"])
    one_port = Report.model_validate(result["reference"]["report_one_port"])
    out.print(report_table(Report.model_validate(result["digits"]["report"])))
    out.print(report_table(reference))
    out.print(traffic_table(reference))
    made = " (made images)" if result["reference"]["made"] else ""
    out.print(facts(f"the reference network{made} beside the paper", comparison(reference, one_port)))
    out.print(facts("the same step, estimated; in brackets the range", brief(result["estimate"])))
    accuracy, rtl, speed = result["accuracy"], result["rtl"], result["speed"]
    rows = {
        "held-out accuracy, chip": f"{accuracy['chip']:.2f} % (mean of {accuracy['seeds']} seeds)",
        "held-out accuracy, float64": f"{accuracy['float64']:.2f} %",
        "RTL": f"{rtl['steps']} steps, {rtl['cycles']:,} cycles, {rtl['differences']} differences",
        "fast simulator": f"{speed['chip_cycles_per_second'] / 1e6:,.0f} M cycles/s, "
        f"{speed['fast_over_chip']:.2f} x the chip, {speed['fast_over_verilator']:,.0f} x Verilator",
        "stepping simulator": f"{speed['stepping_cycles_per_second'] / 1e6:,.1f} M cycles/s",
        "Verilator -O3": f"{speed['verilator_cycles_per_second'] / 1e6:,.2f} M cycles/s",
        **result["files"],
    }
    out.print(facts("demo", rows))
