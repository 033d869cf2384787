"""The bench: a Verilog module around the chip that plays bus transactions and records the trace, without Python.

`testbenches.bus` tells it what to play, `testbenches.monitor` reads what it records. All its files lie in the folder in
which the simulator runs, all its records are of 32-bit words.
"""

from __future__ import annotations

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.fields import BANK_BITS, ROW_BITS
from arch.isa import ENGINES
from arch.numerics import RANDOM_BITS
from testbenches.bench_external import outside, outside_files, outside_ports

TOP = "bench"
CHIP_TOP = "tinycl"
"""What the chip's own module must be called."""
SCRIPT = "script.txt"
"""What the bench plays (`testbenches.memory_map.script`)."""
REPLY = "reply.bin"
"""The words read, uint32."""
WRITES = ("feature", "gradient", "weight", "transfer", "external")
RECORDS = ("array", "vector", "dma", *WRITES)
"""The trace: retirements of the engines and writes to the memories, each in a file `<name>.bin`; `transfer` are the
DMA's writes to memories on the chip."""
MAPS = ("feature", "gradient")

_TEXT = """
module {top}(clk, rst, go, busy, interrupt);
  input clk;
  input rst;
  input go;
  output busy;
  output interrupt;

  reg busy = 0;
  reg [29:0] bus__adr = 0;
  reg [31:0] bus__dat_w = 0;
  reg [3:0] bus__sel = 0;
  reg bus__we = 0;
  reg bus__stb = 0;
  wire [31:0] bus__dat_r;
  wire bus__ack;
{wires}
  {chip_top} chip(
{ports},
    .clk(clk), .rst(rst), .interrupt(interrupt),
    .bus__adr(bus__adr), .bus__dat_w(bus__dat_w), .bus__dat_r(bus__dat_r), .bus__sel(bus__sel),
    .bus__cyc(bus__stb), .bus__stb(bus__stb), .bus__we(bus__we), .bus__ack(bus__ack){outside_ports}
  );

  // Counters and random states hold what an instruction did in the cycle after its retirement.
  reg [{counter_bits}-1:0] cycle = 0;
  reg array_retired = 0, vector_retired = 0, dma_retired = 0;
  reg [31:0] array_index = 0, vector_index = 0, dma_index = 0;
  integer {files};
  initial begin
{opened}
  end
  always @(posedge clk) begin
    cycle <= trace__cycle;
    array_retired <= trace__array__retire & ~rst;
    array_index <= trace__array__index;
    vector_retired <= trace__vector__retire & ~rst;
    vector_index <= trace__vector__index;
    dma_retired <= trace__dma__retire & ~rst;
    dma_index <= trace__dma__index;
    if (array_retired) $fwrite(array, "%u%u%u%u", cycle, array_index, trace__array__counts, {{{states}}});
    if (vector_retired) $fwrite(vector, "%u%u%u", cycle, vector_index, trace__vector__counts);
    if (dma_retired) $fwrite(dma, "%u%u%u", cycle, dma_index, trace__dma__counts);
    if (trace__feature__write) $fwrite(feature, "%u%u%u", trace__cycle, trace__feature__address, trace__feature__value);
    if (trace__gradient__write)
      $fwrite(gradient, "%u%u%u", trace__cycle, trace__gradient__address, trace__gradient__value);
    if (trace__weight__write != 0)
      $fwrite(weight, "%u%u%u%u", trace__cycle, trace__weight__place, trace__weight__write, trace__weight__value);
    if (trace__transfer__write)
      $fwrite(transfer, "%u%u%u%u%u", trace__cycle, trace__transfer__memory, trace__transfer__bank,
              trace__transfer__place, trace__transfer__value);
  end
{outside}

  integer script, reply;
  reg [31:0] kind, address, value;
  always begin
    @(posedge go);
    busy = 1;
    script = $fopen("{script}", "r");
    reply = $fopen("{reply}", "wb");
    @(negedge clk);
    while ($fscanf(script, "%h %h %h", kind, address, value) == 3) begin{outside_files}
      bus__adr = address[31:2];
      bus__dat_w = value;
      bus__sel = kind[7:4];
      bus__we = kind[0];
      bus__stb = 1;
      @(negedge clk);
      while (!bus__ack) @(negedge clk);
      if (!bus__we) $fwrite(reply, "%u", bus__dat_r);
      @(negedge clk);  // the rising edge between ends the transaction
      bus__stb = 0;
    end
    $fclose(script);
    $fclose(reply);
{flushed}
    busy = 0;
  end
endmodule
"""


def bench(chip: Chip) -> str:
    """The Verilog of the bench for `chip`, without the chip's."""
    widths = _trace_widths(chip)
    states = [f"chip.array.writeback.state{tap}_{lane}" for tap in range(chip.taps) for lane in range(chip.lanes)]
    return _TEXT.format(
        top=TOP,
        chip_top=CHIP_TOP,
        wires="\n".join(f"  wire [{width - 1}:0] trace__{name};" for name, width in widths.items()),
        ports=",\n".join(f"    .trace__{name}(trace__{name})" for name in widths),
        counter_bits=COUNTER_BITS,
        files=", ".join(RECORDS),
        opened="\n".join(f'    {name} = $fopen("{name}.bin", "wb");' for name in RECORDS),
        flushed="\n".join(f"    $fflush({name});" for name in RECORDS),
        states=", ".join(reversed(states)),
        script=SCRIPT,
        reply=REPLY,
        outside=outside(chip),
        outside_files=outside_files(chip),
        outside_ports=outside_ports(chip),
    )


def record_bits(chip: Chip) -> dict[str, dict[str, int]]:
    """For each of `RECORDS`, its fields with their bits, each field padded to a multiple of 32 in the file."""
    cycle = {"cycle": COUNTER_BITS}
    counts = {"index": 32, "counts": COUNTER_BITS * len(Event)}
    word = chip.lanes * chip.word_bits
    banks, memory = chip.weight_memory.banks, chip.external_memory
    write = {"address": ROW_BITS + BANK_BITS, "value": word}
    return {
        "array": cycle | counts | {"random": RANDOM_BITS * chip.multipliers},
        "vector": cycle | counts,
        "dma": cycle | counts,
        "feature": cycle | write,
        "gradient": cycle | write,
        "weight": cycle | {"place": ROW_BITS, "write": banks, "value": banks * word},
        "transfer": cycle | {"memory": 2, "bank": 6, "place": ROW_BITS, "value": word},
        "external": cycle | {"beat": 32, "value": 8 * (memory.bytes_per_cycle if memory else 4)},
    }


def _trace_widths(chip: Chip) -> dict[str, int]:
    bits = record_bits(chip)
    index = (chip.program_memory.instructions - 1).bit_length()
    widths = {"running": 1, "cycle": COUNTER_BITS}
    for engine in ENGINES:
        name = engine.name.lower()
        widths |= {f"{name}__phase": 2, f"{name}__retire": 1, f"{name}__index": index}
        widths |= {f"{name}__counts": bits[name]["counts"]}
    for name in MAPS:
        widths |= {f"{name}__write": 1} | {f"{name}__{field}": bits[name][field] for field in ("address", "value")}
    widths |= {f"weight__{field}": bits["weight"][field] for field in ("place", "write", "value")}
    transfer = {field: bits["transfer"][field] for field in ("memory", "bank", "place", "value")}
    return widths | {f"transfer__{field}": width for field, width in ({"write": 1} | transfer).items()}
