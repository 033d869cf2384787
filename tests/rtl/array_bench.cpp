// The array engine alone in Verilator, with memories in C++: what test_array.py calls.
#include <cstdint>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

template <class T> uint64_t bits(const T& port, int first, int width) {
    return uint64_t(port) >> first & (~0ull >> (64 - width));
}
template <std::size_t N> uint64_t bits(const VlWide<N>& port, int first, int width) {
    uint64_t value = 0;
    for (int i = 0; i < width; i++) value |= uint64_t(port[(first + i) / 32] >> (first + i) % 32 & 1) << i;
    return value;
}
template <class T> void put(T& port, int first, int width, uint64_t value) {
    uint64_t mask = (~0ull >> (64 - width)) << first;
    port = T((uint64_t(port) & ~mask) | (value << first & mask));
}
template <std::size_t N> void put(VlWide<N>& port, int first, int width, uint64_t value) {
    for (int i = 0; i < width; i++) {
        auto& word = port[(first + i) / 32];
        unsigned bit = 1u << (first + i) % 32;
        word = value >> i & 1 ? word | bit : word & ~bit;
    }
}

enum Problem { NONE, OUTSIDE, TWO_ACCESSES, HANGS };

struct Bench {
    int side, taps, lanes, word_bits, banks, beats;
    long words[2], rows;
    int16_t* map[2];
    int16_t* weight;
    int problem = NONE;
    Vtop top;

    template <class P> void read_word(P& data, int bank, long word, int16_t* memory, long limit) {
        if (word < 0 || word >= limit) { problem = OUTSIDE; return; }
        for (int lane = 0; lane < lanes; lane++)
            put(data, (bank * lanes + lane) * word_bits, word_bits, uint16_t(memory[word * lanes + lane]));
    }
    int16_t value(uint64_t got) { return int16_t(int64_t(got << (64 - word_bits)) >> (64 - word_bits)); }

    template <class R, class P, class D, class A, class V>
    void map_port(int space, R read, P places, D& data, bool write, A address, V values) {
        if (read && write) problem = TWO_ACCESSES;
        for (int bank = 0; bank < side; bank++)
            if (read >> bank & 1) read_word(data, bank, bits(places, 16 * bank, 16) * side + bank, map[space], words[space]);
        if (!write) return;
        long word = long(bits(address, 4, 16)) * side + bits(address, 0, 4);
        if (word >= words[space]) { problem = OUTSIDE; return; }
        for (int lane = 0; lane < lanes; lane++)
            map[space][word * lanes + lane] = value(bits(values, lane * word_bits, word_bits));
    }

    template <class D> void weight_port(D& data) {
        bool read = top.weight___05Fread;
        uint64_t write = top.weight___05Fwrite;
        long row = top.weight___05Fplace / beats, beat = top.weight___05Fplace % beats;
        if (read && write) problem = TWO_ACCESSES;
        if ((read || write) && row >= rows) { problem = OUTSIDE; return; }
        for (int bank = 0; bank < banks && beat * banks + bank < taps; bank++) {
            long word = row * taps + beat * banks + bank;
            if (read) read_word(data, bank, word, weight, rows * taps);
            if (write >> bank & 1)
                for (int lane = 0; lane < lanes; lane++)
                    weight[word * lanes + lane] =
                        value(bits(top.weight___05Fvalue, (bank * lanes + lane) * word_bits, word_bits));
        }
    }

    // Everything asked for in this cycle happens at its end.
    void clock() {
        top.clk = 0;
        top.eval();
        auto read0 = top.feature___05Fread, read1 = top.gradient___05Fread;
        auto places0 = top.feature___05Fplaces, places1 = top.gradient___05Fplaces;
        auto data0 = top.feature___05Fdata, data1 = top.gradient___05Fdata;
        auto data = top.weight___05Fdata;
        map_port(0, read0, places0, data0, top.feature___05Fwrite, top.feature___05Faddress, top.feature___05Fvalue);
        map_port(1, read1, places1, data1, top.gradient___05Fwrite, top.gradient___05Faddress, top.gradient___05Fvalue);
        weight_port(data);
        top.clk = 1;
        top.eval();
        top.feature___05Fdata = data0;
        top.gradient___05Fdata = data1;
        top.weight___05Fdata = data;
    }
};

extern "C" {

Bench* array_open(const int64_t* sizes) {
    auto* bench = new Bench;
    bench->side = sizes[0]; bench->taps = sizes[1]; bench->lanes = sizes[2]; bench->word_bits = sizes[3];
    bench->banks = sizes[4]; bench->beats = sizes[5];
    bench->words[0] = sizes[6]; bench->words[1] = sizes[7]; bench->rows = sizes[8];
    bench->map[0] = new int16_t[sizes[6] * sizes[2]]();
    bench->map[1] = new int16_t[sizes[7] * sizes[2]]();
    bench->weight = new int16_t[sizes[8] * sizes[1] * sizes[2]]();
    return bench;
}

void array_reset(Bench* bench) {
    bench->top.rst = 1;
    bench->clock();
    bench->top.rst = 0;
    bench->clock();
}

int16_t* array_memory(Bench* bench, int which) { return which < 2 ? bench->map[which] : bench->weight; }

void array_random(Bench* bench, uint32_t* states, int write) {
    auto& top = bench->top;
    for (int tap = 0; tap < bench->taps; tap++)
        for (int lane = 0; lane < bench->lanes; lane++) {
            top.random___05Ftap = tap;
            top.random___05Flane = lane;
            top.random___05Fwrite = write;
            top.random___05Fvalue = states[tap * bench->lanes + lane];
            top.clk = 0;
            top.eval();
            if (!write) states[tap * bench->lanes + lane] = top.random___05Fstate;
            else bench->clock();
        }
    top.random___05Fwrite = 0;
}

// The instruction's cycles; `counts` of the events are added to. Below 0: -Problem.
int64_t array_run(Bench* bench, const uint32_t* code, int code_words, int events, int event_bits, int64_t* counts, int64_t limit) {
    auto& top = bench->top;
    bench->problem = NONE;
    for (int i = 0; i < code_words; i++) put(top.instruction, 32 * i, 32, code[i]);
    bench->clock();
    top.start = 1;
    bench->clock();
    top.start = 0;
    for (int64_t cycle = 1; cycle <= limit; cycle++) {
        top.clk = 0;
        top.eval();
        bool done = top.done;
        for (int event = 0; event < events; event++) counts[event] += bits(top.amounts, event * event_bits, event_bits);
        bench->clock();
        if (bench->problem) return -bench->problem;
        if (done) return cycle;
    }
    return -HANGS;
}

}
