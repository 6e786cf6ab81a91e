#include "model/watch.h"

namespace lastack {
namespace {

constexpr WatchRow kWatches[] = {
    {Watch::recv, "recv", "io_uring", true, false,
     "one armed IORING_OP_RECV; armed again after data"},
    {Watch::recv_multishot, "recv-multishot", "io_uring", true, true,
     "one multishot IORING_OP_RECV over a ring of provided buffers (Linux 6.0)"},
    {Watch::poll, "poll", "io_uring", false, false,
     "one armed IORING_OP_POLL_ADD for IN and RDHUP, then non-blocking reads; armed again"},
    {Watch::poll_multishot, "poll-multishot", "io_uring", false, true,
     "one multishot IORING_OP_POLL_ADD for IN and RDHUP, then non-blocking reads"},
};

}  // namespace

std::span<const WatchRow> watches() { return kWatches; }
const WatchRow& watch_row(Watch watch) { return kWatches[static_cast<size_t>(watch)]; }

}  // namespace lastack
