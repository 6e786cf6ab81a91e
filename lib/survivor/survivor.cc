#include "survivor/survivor.h"

#include <utility>

#include "survivor/blocking_survivor.h"
#include "survivor/epoll_survivor.h"
#include "survivor/late_survivor.h"
#include "survivor/select_survivor.h"
#include "survivor/uring_survivor.h"
#include "survivor/writer_survivor.h"

namespace lastack {
namespace {

template <class Implementation>
Result<std::unique_ptr<Survivor>> open_as(const ShardView& shard, int control) {
  auto opened = Implementation::open(shard, control);
  if (!opened) return opened.error();
  return std::unique_ptr<Survivor>(std::make_unique<Implementation>(std::move(*opened)));
}

}  // namespace

Result<std::unique_ptr<Survivor>> open_survivor(const ShardView& shard, int control) {
  switch (shard.header->settings.engine) {
    case Engine::io_uring:
      return open_as<UringSurvivor>(shard, control);
    case Engine::epoll:
      return open_as<EpollSurvivor>(shard, control);
    case Engine::select:
    case Engine::ppoll:
      return open_as<SelectSurvivor>(shard, control);
    case Engine::blocking:
      return open_as<BlockingSurvivor>(shard, control);
    case Engine::late:
      return open_as<LateSurvivor>(shard, control);
    case Engine::writer:
      return open_as<WriterSurvivor>(shard, control);
  }
  return plain_error("no engine has this number");
}

}  // namespace lastack
