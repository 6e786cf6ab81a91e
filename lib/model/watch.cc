#include "model/watch.h"

#include <sys/select.h>

#include "base/rows.h"

namespace lastack {
namespace {

// Standard files, table, control, a listener and the ring that establishes.
constexpr uint32_t kOwnDescriptors = 64;

constexpr EngineRow kEngines[] = {
    {Engine::io_uring, "io_uring", 0, true, true, false, "", "requests armed in a ring"},
    {Engine::epoll, "epoll", 0, true, true, false, "", "epoll_pwait2(2), 256 events a call"},
    // __FD_SET does not look at its argument: a larger descriptor writes outside of the set.
    {Engine::select, "select", FD_SETSIZE - kOwnDescriptors, true, true, false,
     "an fd_set holds descriptors below FD_SETSIZE (1,024), and the process needs some itself",
     "pselect(2) over the connections that still wait"},
    {Engine::ppoll, "ppoll", 0, true, true, false, "",
     "ppoll(2) over the connections that still wait"},
    // Each thread's stack is two mappings (the stack and its guard page): vm.max_map_count, 65,530
    // by default, is the first limit that many threads meet.
    {Engine::blocking, "blocking", 30'000, false, true, false,
     "each thread takes two of the process's 65,530 mappings (vm.max_map_count)",
     "a thread per connection, in recv(2)"},
    {Engine::late, "late", 0, true, false, true, "", "no call at all until the next write"},
    {Engine::writer, "writer", 0, true, false, true, "",
     "writes by --write-path at --write-rate, from before the act until the second error"},
};
static_assert(indexed(kEngines));

constexpr WatchRow kWatches[] = {
    {Watch::recv, "recv", Engine::io_uring, true, false,
     "one armed IORING_OP_RECV; armed again after data"},
    {Watch::recv_multishot, "recv-multishot", Engine::io_uring, true, true,
     "one multishot IORING_OP_RECV over a ring of provided buffers (Linux 6.0)"},
    {Watch::poll, "poll", Engine::io_uring, false, false,
     "one armed IORING_OP_POLL_ADD for IN and RDHUP, then non-blocking reads; armed again"},
    {Watch::poll_multishot, "poll-multishot", Engine::io_uring, false, true,
     "one multishot IORING_OP_POLL_ADD for IN and RDHUP, then non-blocking reads"},
    {Watch::epoll, "epoll", Engine::epoll, false, true,
     "epoll(7), level-triggered, for IN and RDHUP, then non-blocking reads; removed at the end"},
    {Watch::epoll_et, "epoll-et", Engine::epoll, false, true,
     "epoll(7), edge-triggered (EPOLLET), for IN and RDHUP, then non-blocking reads"},
    {Watch::select, "select", Engine::select, false, false,
     "pselect(2) for reading, then non-blocking reads, which alone tell data from an end; at most "
     "960 connections a process (FD_SETSIZE)"},
    {Watch::ppoll, "ppoll", Engine::ppoll, false, false,
     "ppoll(2) for IN and RDHUP, then non-blocking reads"},
    {Watch::blocking, "blocking", Engine::blocking, true, false,
     "a thread per connection in a blocking recv(2)"},
    {Watch::late, "late", Engine::late, false, false,
     "no call until the next write, 50ms after the act; then one byte every 50ms until one fails"},
    {Watch::writer, "writer", Engine::writer, false, false,
     "no wait at all: writes --payload bytes by --write-path at --write-rate, and learns by that"},
};
static_assert(indexed(kWatches));

}  // namespace

std::span<const EngineRow> engines() { return kEngines; }
const EngineRow& engine_row(Engine engine) { return kEngines[static_cast<size_t>(engine)]; }

std::span<const WatchRow> watches() { return kWatches; }
const WatchRow& watch_row(Watch watch) { return kWatches[static_cast<size_t>(watch)]; }

}  // namespace lastack
