#include "model/load.h"

#include "base/rows.h"

namespace lastack {
namespace {

constexpr LoadRow kLoads[] = {
    {Load::idle, "idle", "no traffic after the connection is established"},
    {Load::echo, "echo",
     "the survivor sends requests, the victim sends them back; one in flight per connection, "
     "echo=RATE round trips a second over all connections"},
    {Load::bulk, "bulk",
     "every survivor sends as fast as it can; the victim reads it all and answers nothing but "
     "heartbeats"},
};
static_assert(indexed(kLoads));

}  // namespace

std::span<const LoadRow> loads() { return kLoads; }
const LoadRow& load_row(Load load) { return kLoads[static_cast<size_t>(load)]; }

}  // namespace lastack
