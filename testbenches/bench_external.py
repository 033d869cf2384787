"""The bench's memory outside the chip, with the timing that `arch.chip.ExternalMemory` declares, and its files."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip

OUTSIDE = "outside.hex"
"""What the memory outside holds: hexadecimal, a beat a line, `@` before the number of a beat that follows none."""
LOAD_OUTSIDE, KEEP_OUTSIDE = 2, 3
"""Kinds of script lines: take the memory's contents from the file, write them to it."""
_OUT = {
    **{f"{channel}{name}": bits for channel in ("ar", "aw") for name, bits in (("addr", 36), ("len", 8))},
    **{f"{channel}valid": 1 for channel in ("ar", "aw", "w")},
    "wlast": 1,
    "rready": 1,
    "bready": 1,
}
_TEXT = """
  // The memory outside: a burst is kept with the cycle from which its data, or its answer, may come.
  typedef struct packed {{ reg [35:0] address; reg [8:0] beats; reg [63:0] due; }} burst_t;
  reg [{bits}-1:0] outside_beats [bit [31:0]];
  burst_t reads[$], writes[$];
  reg [63:0] answers[$];
  burst_t burst;
  reg [31:0] beat;
  integer lane;
  reg [63:0] now = 0;
  assign external__arready = 1;
  assign external__awready = 1;
  assign external__wready = 1;
  always @(posedge clk) begin
    if (rst) begin
      reads.delete();
      writes.delete();
      answers.delete();
    end else begin
      if (external__arvalid)
        reads.push_back({{external__araddr, 9'(external__arlen) + 9'd1, now + 64'd{latency}}});
      if (external__awvalid)
        writes.push_back({{external__awaddr, 9'(external__awlen) + 9'd1, 64'd0}});
      if (external__wvalid) begin
        burst = writes.pop_front();
        beat = 32'(burst.address >> {shift});
        if (external__wstrb != 0) begin
          $fwrite(external, "%u%u%u", trace__cycle, beat, external__wdata);
          outside_beats[beat] = external__wdata;
        end
        burst.address = burst.address + {size};
        burst.beats = burst.beats - 1;
        if (burst.beats != 0) writes.push_front(burst);
        else answers.push_back(now + {latency});
        if ((burst.beats == 0) != external__wlast) $fatal(1, "wlast is not at the end of its burst");
      end
      if (external__rvalid) begin
        burst = reads.pop_front();
        burst.address = burst.address + {size};
        burst.beats = burst.beats - 1;
        if (burst.beats != 0) reads.push_front(burst);
      end
      if (external__bvalid) begin
        void'(answers.pop_front());
      end
    end
    now = now + 1;
    external__rvalid <= 0;
    if (reads.size() != 0 && reads[0].due <= now) begin
      external__rvalid <= 1;
      external__rlast <= reads[0].beats == 1;
      external__rdata <= outside_beats[32'(reads[0].address >> {shift})];
    end
    external__bvalid <= answers.size() != 0 && answers[0] <= now;
  end
"""


def outside(chip: Chip) -> str:
    """The memory outside, in the bench's module; nothing if the chip has none."""
    memory = chip.external_memory
    if memory is None:
        return ""
    size = memory.bytes_per_cycle
    widths = _OUT | {"wdata": 8 * size, "wstrb": size, "arready": 1, "awready": 1, "wready": 1}
    wires = "".join(f"  wire [{bits - 1}:0] external__{name};\n" for name, bits in widths.items())
    registers = {"rdata": 8 * size, "rlast": 1, "rvalid": 1, "bvalid": 1}
    wires += "".join(f"  reg [{bits - 1}:0] external__{name} = 0;\n" for name, bits in registers.items())
    text = _TEXT.format(bits=8 * size, size=size, shift=(size - 1).bit_length(), latency=memory.latency_cycles)
    return wires + text


def outside_ports(chip: Chip) -> str:
    """The chip's connections to it."""
    if chip.external_memory is None:
        return ""
    names = [*_OUT, "wdata", "wstrb", "arready", "awready", "wready", "rdata", "rlast", "rvalid", "bvalid"]
    return "".join(f",\n    .external__{name}(external__{name})" for name in names)


def outside_files(chip: Chip) -> str:
    """What the bench does with the lines of a script that concern the file."""
    if chip.external_memory is None:
        return ""
    return f"""
      if (kind == {LOAD_OUTSIDE}) begin
        $readmemh("{OUTSIDE}", outside_beats);
        continue;
      end
      if (kind == {KEEP_OUTSIDE}) begin
        $writememh("{OUTSIDE}", outside_beats);
        continue;
      end"""


def outside_bytes(text: str, size: int) -> np.ndarray:
    """uint8[n] that the file holds, beats of `size` bytes; beats that are not named are zero."""
    beats: dict[int, bytes] = {}
    place = 0
    for line in text.split():
        if line.startswith("@"):
            place = int(line[1:], 16)
            continue
        beats[place] = bytes.fromhex(line)[::-1]
        place += 1
    return np.frombuffer(b"".join(beats.get(i, bytes(size)) for i in range(max(beats) + 1)), np.uint8)
