// Plays a script of bus transactions on the chip, with nothing between it and the model, and measures a part of it.
//
//   harness SCRIPT REPLY EXTERNAL STALLS
//
// EXTERNAL is a file of the memory outside, which is written back at the end; STALLS is the seed of random stalls of its
// bus, 0 for none. Its model, external.cpp, stands before this text.
//
// A line of SCRIPT is `kind address word`, hexadecimal; the lowest digit of `kind` says what is done, the next one is
// the transaction's `sel`:
//   0  read the bus word at the byte address; its four bytes go to REPLY
//   1  write the word
//   2  wait for the interrupt, `word` cycles at most
//   3  begin measuring
//   4  end measuring
//   5  write the selected bytes of the word to the memory outside
// What was measured is printed as JSON: clock cycles and wall-clock seconds.
//
// Built with Verilator's --trace or --trace-saif, the measured cycles are written to the file that TINYCL_TRACE names,
// as settled values before each rising edge, a time step a cycle.
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE_SAIF
#include "verilated_saif_c.h"
using Trace = VerilatedSaifC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

// Verilator's names of the ports: ___05F is __, and __SYM__ marks a word that C++ compilers may reserve.

namespace {

struct Line {
    uint32_t kind, address, word;
};

Vtop top;
External external;
uint64_t cycles = 0;
#if VM_TRACE
Trace& trace = *new Trace;  // never destroyed: the model, destroyed before it, is part of it
#endif

void clock_once() {
    external.drive(top);
    top.clk = 0;
    top.eval();
    external.sample(top);
#if VM_TRACE
    if (trace.isOpen()) trace.dump(cycles);
#endif
    top.clk = 1;
    top.eval();
    ++cycles;
}

uint32_t transact(const Line& line) {
    top.bus___05Fadr = line.address >> 2;
    top.bus___05Fdat_w = line.word;
    top.bus___05Fsel = line.kind >> 4;
    top.bus___05Fwe = line.kind & 1;
    top.bus___05Fcyc = top.bus___05Fstb = 1;
    do clock_once();
    while (!top.bus___05Fack);
    const uint32_t data = top.bus___05Fdat_r;
    clock_once();  // the edge that ends the transaction
    top.bus___05Fcyc = top.bus___05Fstb = 0;
    return data;
}

bool await_interrupt(uint32_t limit) {
    for (uint32_t i = 0; i < limit && !top.__SYM__interrupt; ++i) clock_once();
    return top.__SYM__interrupt;
}

void write_external(const Line& line) {
    for (uint32_t i = 0; i < 4; ++i)
        if (line.kind >> (4 + i) & 1) external.bytes.at(line.address + i) = line.word >> (8 * i);
}

bool read_external(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) return false;
    std::fseek(file, 0, SEEK_END);
    external.bytes.resize(std::ftell(file));
    std::rewind(file);
    const bool whole = std::fread(external.bytes.data(), 1, external.bytes.size(), file) == external.bytes.size();
    std::fclose(file);
    return whole;
}

bool keep_external(const char* path) {
    std::FILE* file = std::fopen(path, "wb");
    if (!file) return false;
    const bool whole = std::fwrite(external.bytes.data(), 1, external.bytes.size(), file) == external.bytes.size();
    return std::fclose(file) == 0 && whole;
}

std::vector<Line> read_script(const char* path) {
    std::vector<Line> lines;
    if (std::FILE* file = std::fopen(path, "r")) {
        Line line;
        while (std::fscanf(file, "%" SCNx32 " %" SCNx32 " %" SCNx32, &line.kind, &line.address, &line.word) == 3)
            lines.push_back(line);
        std::fclose(file);
    }
    return lines;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s SCRIPT REPLY EXTERNAL STALLS\n", argv[0]);
        return 2;
    }
    const std::vector<Line> script = read_script(argv[1]);
    std::FILE* reply = std::fopen(argv[2], "wb");
    if (script.empty() || !reply || !read_external(argv[3])) {
        std::fprintf(stderr, "%s: cannot read %s or %s, or write %s\n", argv[0], argv[1], argv[3], argv[2]);
        return 2;
    }
#if VM_TRACE
    Verilated::traceEverOn(true);
    top.trace(&trace, 99);
#endif
    external.stall(std::strtoul(argv[4], nullptr, 10));
    top.rst = 1;
    clock_once();
    clock_once();
    top.rst = 0;

    using Clock = std::chrono::steady_clock;
    Clock::time_point begin;
    std::chrono::duration<double> seconds{0};
    uint64_t first = 0, measured = 0;
    for (const Line& line : script) {
        switch (line.kind & 15) {
            case 0: {
                const uint32_t data = transact(line);
                std::fwrite(&data, sizeof data, 1, reply);
                break;
            }
            case 1: transact(line); break;
            case 2:
                if (await_interrupt(line.word)) break;
                std::fprintf(stderr, "no interrupt within %" PRIu32 " cycles\n", line.word);
                return 1;
            case 3:
#if VM_TRACE
                trace.open(std::getenv("TINYCL_TRACE"));
#endif
                first = cycles;
                begin = Clock::now();
                break;
            case 4:
                seconds += Clock::now() - begin;
                measured += cycles - first;
#if VM_TRACE
                trace.close();
#endif
                break;
            case 5: write_external(line); break;
        }
    }
    std::fclose(reply);
    if (external.problem || !keep_external(argv[3])) {
        std::fprintf(stderr, "%s\n", external.problem ? external.problem : "the memory outside cannot be written");
        return 1;
    }
    std::printf("{\"cycles\": %" PRIu64 ", \"seconds\": %.6f}\n", measured, seconds.count());
    return 0;
}
