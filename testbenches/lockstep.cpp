// The model of lock-step: the chip under Verilator as a shared library. `testbenches.lockstep_model` says its functions
// and writes the constants before this text: LANES, WORD_BITS, WEIGHT_BANKS, SIDE, BANK_BITS, COUNTER_BITS, EVENTS; then
// comes external.cpp, the memory outside.
//
// `step` clocks once. It first notes what the ports show in the cycle that this clock ends, then plays the host's side:
// transactions are queued and go over the bus one after another, each after `idle` cycles without a bus cycle and `hold`
// cycles in which the bus cycle is open but nothing is asked.
#include <cstdint>
#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

// Verilator's names of the ports: ___05F is __, and __SYM__ marks a word that C++ compilers may reserve.
#define PORT(name) top->trace___05F##name

namespace {

constexpr int ENGINES = 3, MAPS = 2, MOST_LANES = 16, MOST_WORDS = 64;

// `testbenches.lockstep_model.TRACE`, field by field.
struct Trace {
    int64_t running, cycle, interrupt;
    int64_t phase[ENGINES], index[ENGINES], retire[ENGINES];
    int64_t counters[ENGINES][EVENTS];
    int64_t write[MAPS], address[MAPS], value[MAPS][MOST_LANES];
    int64_t row_write, row_place, row_value[MOST_WORDS][MOST_LANES];
    int64_t transfer_write, transfer_memory, transfer_bank, transfer_place, transfer_value[MOST_LANES];
    int64_t external_write, external_value[MOST_LANES], external_problem;
    int64_t ack, reply;
    int64_t age, reads, bus_address, bus_word;  // the transaction's cycles so far, 0: none is asked
    int64_t pending;                            // transactions that have not ended
};

struct Transaction {
    uint32_t kind, address, word, idle, hold;  // kind as in `testbenches.memory_map`
};

// Bits [low, low + count) of a port of any width, count at most 32 beyond 64 bits' ports.
template <class Port>
uint64_t bits(const Port& port, int low, int count) {
    return (static_cast<uint64_t>(port) >> low) & ((uint64_t(1) << count) - 1);
}

template <std::size_t N>
uint64_t bits(const VlWide<N>& port, int low, int count) {
    const int word = low / 32, shift = low % 32;
    uint64_t value = port.at(word) >> shift;
    for (int next = 1; 32 * next - shift < count; ++next) value |= uint64_t(port.at(word + next)) << (32 * next - shift);
    return value & ((uint64_t(1) << count) - 1);
}

template <class Port>
void lanes(const Port& port, int first, int64_t* out) {
    for (int lane = 0; lane < LANES; ++lane) {
        const uint64_t value = bits(port, (first * LANES + lane) * WORD_BITS, WORD_BITS);
        out[lane] = static_cast<int64_t>(value << (64 - WORD_BITS)) >> (64 - WORD_BITS);
    }
}

int64_t linear(uint32_t pair) { return (pair >> BANK_BITS) * SIDE + (pair & ((1 << BANK_BITS) - 1)); }

class Model {
public:
    Model() : context(new VerilatedContext), top(new Vtop(context.get())) {}
    ~Model() {
        top->final();
#if VM_TRACE
        if (file) file->close();
#endif
    }

    void queue(const Transaction& item) { transactions.push_back(item); }
    std::size_t replied() const { return replies.size(); }
    uint32_t reply(std::size_t i) const { return replies[i]; }
    void forget() { replies.clear(); }

    void hold_reset() { top->rst = 1; }

    void set_external(const uint8_t* bytes, std::size_t count) { external.bytes.assign(bytes, bytes + count); }
    void get_external(uint8_t* bytes) const { std::copy(external.bytes.begin(), external.bytes.end(), bytes); }
    const char* external_problem() const { return external.problem ? external.problem : ""; }

    void reset(int cycles) {
        transactions.clear();
        external.reset();
        external.problem = nullptr;
        age = 0;
        ended = false;
        top->bus___05Fcyc = top->bus___05Fstb = 0;
        top->rst = 1;
        for (int i = 0; i < cycles; ++i) clock();
        top->rst = 0;
    }

    void step(Trace& trace) {
        watch(trace);
        drive();
        trace.age = age;
        trace.pending = transactions.size();
        if (age) {
            const Transaction& item = transactions.front();
            trace.reads = !(item.kind & 1);
            trace.bus_address = item.address;
            trace.bus_word = item.word;
            if (top->bus___05Fack) {
                if (trace.reads) replies.push_back(top->bus___05Fdat_r);
                ended = true;
            }
        }
        clock();
        watch_external(trace);
    }

    bool waveform(const char* path) {
#if VM_TRACE
        context->traceEverOn(true);
        file.reset(new VerilatedVcdC);
        top->trace(file.get(), 99);
        file->open(path);
        return true;
#else
        return false;
#endif
    }

    void coverage(const char* path) {
#if VM_COVERAGE
        context->coveragep()->write(path);
#endif
    }

private:
    std::unique_ptr<VerilatedContext> context;
    std::unique_ptr<Vtop> top;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> file;
#endif
    External external;
    std::deque<Transaction> transactions;
    std::vector<uint32_t> replies;
    uint64_t time = 0;
    int64_t age = 0;
    bool ended = false;

    void half(int level) {
        top->clk = level;
        top->eval();
#if VM_TRACE
        if (file && PORT(running)) file->dump(time);  // of programs, not of their loading
#endif
        ++time;
    }

    void clock() {
        external.drive(*top);
        half(0);
        external.sample(*top);
        half(1);
    }

    void drive() {
        if (ended) {
            transactions.pop_front();
            age = 0;
            ended = false;
        }
        top->bus___05Fcyc = top->bus___05Fstb = 0;
        if (transactions.empty()) return;
        Transaction& item = transactions.front();
        if (item.idle) {
            --item.idle;
            return;
        }
        top->bus___05Fcyc = 1;
        if (item.hold) {
            --item.hold;
            return;
        }
        ++age;
        top->bus___05Fstb = 1;
        top->bus___05Fadr = item.address >> 2;
        top->bus___05Fdat_w = item.word;
        top->bus___05Fsel = item.kind >> 4;
        top->bus___05Fwe = item.kind & 1;
    }

    template <class Counts>
    static void count(const Counts& counts, int64_t* out) {
        for (int event = 0; event < EVENTS; ++event) out[event] = bits(counts, event * COUNTER_BITS, COUNTER_BITS);
    }

    void watch(Trace& trace) {
        trace.running = PORT(running);
        trace.cycle = PORT(cycle);
        trace.interrupt = top->__SYM__interrupt;
        trace.phase[0] = PORT(array___05Fphase);
        trace.phase[1] = PORT(vector___05Fphase);
        trace.phase[2] = PORT(dma___05Fphase);
        trace.index[0] = PORT(array___05Findex);
        trace.index[1] = PORT(vector___05Findex);
        trace.index[2] = PORT(dma___05Findex);
        trace.retire[0] = PORT(array___05Fretire);
        trace.retire[1] = PORT(vector___05Fretire);
        trace.retire[2] = PORT(dma___05Fretire);
        count(PORT(array___05Fcounts), trace.counters[0]);
        count(PORT(vector___05Fcounts), trace.counters[1]);
        count(PORT(dma___05Fcounts), trace.counters[2]);
        if ((trace.write[0] = PORT(feature___05Fwrite))) {
            trace.address[0] = linear(PORT(feature___05Faddress));
            lanes(PORT(feature___05Fvalue), 0, trace.value[0]);
        }
        if ((trace.write[1] = PORT(gradient___05Fwrite))) {
            trace.address[1] = linear(PORT(gradient___05Faddress));
            lanes(PORT(gradient___05Fvalue), 0, trace.value[1]);
        }
        if ((trace.row_write = PORT(weight___05Fwrite))) {
            trace.row_place = PORT(weight___05Fplace);
            for (int bank = 0; bank < WEIGHT_BANKS; ++bank) lanes(PORT(weight___05Fvalue), bank, trace.row_value[bank]);
        }
        if ((trace.transfer_write = PORT(transfer___05Fwrite))) {
            trace.transfer_memory = PORT(transfer___05Fmemory);
            trace.transfer_bank = PORT(transfer___05Fbank);
            trace.transfer_place = PORT(transfer___05Fplace);
            lanes(PORT(transfer___05Fvalue), 0, trace.transfer_value);
        }
        trace.ack = top->bus___05Fack;
        trace.reply = top->bus___05Fdat_r;
    }

    // What went over the external memory's bus in the cycle that was just clocked.
    void watch_external(Trace& trace) {
        trace.external_write = external.written;
        trace.external_problem = external.problem != nullptr;
        int16_t halves[32];
        std::memcpy(halves, external.data, sizeof halves);
        std::copy(halves, halves + MOST_LANES, trace.external_value);
    }
};

}  // namespace

extern "C" {
Model* model_create() { return new Model; }
void model_destroy(Model* model) { delete model; }
void model_reset(Model* model, int cycles) { model->reset(cycles); }
void model_hold_reset(Model* model) { model->hold_reset(); }
void model_step(Model* model, Trace* trace) { model->step(*trace); }
int64_t model_trace_bytes() { return sizeof(Trace); }

void model_queue(Model* model, const Transaction* items, int64_t count) {
    for (int64_t i = 0; i < count; ++i) model->queue(items[i]);
}

int64_t model_replied(Model* model) { return model->replied(); }

void model_take(Model* model, uint32_t* out) {
    for (std::size_t i = 0; i < model->replied(); ++i) out[i] = model->reply(i);
    model->forget();
}

void model_set_external(Model* model, const uint8_t* bytes, int64_t count) { model->set_external(bytes, count); }
void model_get_external(Model* model, uint8_t* bytes) { model->get_external(bytes); }
const char* model_external_problem(Model* model) { return model->external_problem(); }

int model_waveform(Model* model, const char* path) { return model->waveform(path); }
void model_coverage(Model* model, const char* path) { model->coverage(path); }
}
