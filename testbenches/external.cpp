// The memory outside the chip, on the bus that the ports external__* are: AXI4 as `rtl.axi` uses it, with the timing
// that `arch.chip.ExternalMemory` declares, or, with a seed, with random stalls of every channel. Before this text stand
// EXTERNAL_BYTES, bytes a cycle, 0 if the chip has no such bus, and EXTERNAL_LATENCY.
//
// In each cycle `drive` sets the memory's outputs before the chip settles, and `sample` takes what the chip then asks.
#include <cstdint>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

class External {
public:
    std::vector<uint8_t> bytes;
    int64_t written = -1;          // beat that was written in the last cycle; -1: none
    uint8_t data[64] = {};         // and its bytes
    const char* problem = nullptr; // the first breach of the bus's rules

    void stall(uint32_t seed) {
        stalls = seed != 0;
        random.seed(seed);
    }

    void reset() {
        reads.clear();
        writes.clear();
        answers.clear();
        offers_read = offers_answer = ar_waits = aw_waits = w_waits = false;
    }

#if EXTERNAL_BYTES
    void drive(Vtop& top) {
        top.external___05Farready = !stalled();
        top.external___05Fawready = !stalled();
        top.external___05Fwready = !stalled();
        offers_read = !reads.empty() && reads.front().due <= cycle && (offers_read || !stalled());
        offers_answer = !answers.empty() && answers.front() <= cycle && (offers_answer || !stalled());
        top.external___05Frvalid = offers_read;
        if (offers_read) {
            const Burst& burst = reads.front();
            top.external___05Frlast = burst.beats == 1;
            if (burst.address + EXTERNAL_BYTES <= bytes.size())
                std::memcpy(&top.external___05Frdata, &bytes[burst.address], EXTERNAL_BYTES);
        }
        top.external___05Fbvalid = offers_answer;
    }

    void sample(const Vtop& top) {
        written = -1;
        const uint64_t strobes = top.external___05Fwstrb;
        stays(ar_waits, top.external___05Farvalid, top.external___05Farready);
        stays(aw_waits, top.external___05Fawvalid, top.external___05Fawready);
        stays(w_waits, top.external___05Fwvalid, top.external___05Fwready);
        if (top.external___05Farvalid && top.external___05Farready)
            reads.push_back(burst(top.external___05Faraddr, top.external___05Farlen, top.external___05Farsize));
        if (top.external___05Fawvalid && top.external___05Fawready)
            writes.push_back(burst(top.external___05Fawaddr, top.external___05Fawlen, top.external___05Fawsize));
        if (top.external___05Fwvalid && top.external___05Fwready) write(top, strobes);
        if (offers_read && top.external___05Frready) {
            offers_read = false;
            reads.front().address += EXTERNAL_BYTES;
            if (--reads.front().beats == 0) reads.pop_front();
        }
        if (offers_answer && top.external___05Fbready) {
            offers_answer = false;
            answers.pop_front();
        }
        ++cycle;
    }
#else
    void drive(Vtop&) {}
    void sample(const Vtop&) {}
#endif

private:
    struct Burst {
        uint64_t address;
        int beats;
        uint64_t due;
    };

    std::deque<Burst> reads, writes;
    std::deque<uint64_t> answers;
    std::mt19937 random;
    uint64_t cycle = 0;
    bool stalls = false, offers_read = false, offers_answer = false;
    bool ar_waits = false, aw_waits = false, w_waits = false;

    bool stalled() { return stalls && random() % 3 == 0; }

    void blame(const char* what) {
        if (!problem) problem = what;
    }

#if EXTERNAL_BYTES
    // A channel's valid must stay until its ready.
    void stays(bool& waits, bool valid, bool ready) {
        if (waits && !valid) blame("a valid fell before its ready");
        waits = valid && !ready;
    }

    Burst burst(uint64_t address, int length, int size) {
        const uint64_t end = address + (length + 1) * EXTERNAL_BYTES;
        if (1 << size != EXTERNAL_BYTES || address % EXTERNAL_BYTES) blame("a burst is not of whole beats");
        if (address / 4096 != (end - 1) / 4096) blame("a burst crosses 4 KiB");
        if (end > bytes.size()) blame("a burst leaves the memory");
        return {address, length + 1, cycle + EXTERNAL_LATENCY};
    }

    void write(const Vtop& top, uint64_t strobes) {
        if (writes.empty()) return blame("data came before its address");
        Burst& burst = writes.front();
        std::memcpy(data, &top.external___05Fwdata, EXTERNAL_BYTES);
        if (strobes && burst.address + EXTERNAL_BYTES <= bytes.size()) {
            written = burst.address / EXTERNAL_BYTES;
            for (int i = 0; i < EXTERNAL_BYTES; ++i)
                if (strobes >> i & 1) bytes[burst.address + i] = data[i];
        }
        burst.address += EXTERNAL_BYTES;
        if ((--burst.beats == 0) != top.external___05Fwlast) blame("wlast is not at the end of its burst");
        if (burst.beats == 0) {
            writes.pop_front();
            answers.push_back(cycle + EXTERNAL_LATENCY);
        }
    }
#endif
};
