#include "run/table.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lastack {
namespace {

size_t table_bytes(size_t connections) {
  return sizeof(ShardHeader) + connections * (sizeof(VictimEnd) + sizeof(SurvivorEnd));
}

}  // namespace

Result<ShardTable> ShardTable::map(Fd memory, size_t bytes, uint32_t connections) {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (start == MAP_FAILED) return errno_error("mmap", "shard table");
  ShardTable table;
  table.memory_ = std::move(memory);
  table.bytes_ = bytes;
  auto* header = static_cast<ShardHeader*>(start);
  auto* victims = reinterpret_cast<VictimEnd*>(header + 1);
  auto* survivors = reinterpret_cast<SurvivorEnd*>(victims + connections);
  table.view_ = {header, {victims, connections}, {survivors, connections}};
  return table;
}

Result<ShardTable> ShardTable::create(uint32_t connections) {
  Fd memory(memfd_create("lastack-shard", MFD_CLOEXEC));
  const size_t bytes = table_bytes(connections);
  if (!memory.valid() || ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0)
    return errno_error("memfd_create", "shard table");
  auto table = map(std::move(memory), bytes, connections);
  if (!table) return table;
  // A memfd starts as zeros, which is right for every field but these.
  table->view_.header->settings.connections = connections;
  for (VictimEnd& end : table->view_.victims) {
    end.pair = kNoPair;
    end.group = kNoGroup;
    end.descriptor = -1;
  }
  for (SurvivorEnd& end : table->view_.survivors) {
    end.pair = kNoPair;
    end.descriptor = -1;
  }
  return table;
}

Result<ShardTable> ShardTable::attach(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return errno_error("fstat", "shard table");
  const auto bytes = static_cast<size_t>(status.st_size);
  if (bytes < sizeof(ShardHeader)) return make_error("attach", EINVAL, "shard table");
  const size_t per_connection = sizeof(VictimEnd) + sizeof(SurvivorEnd);
  const auto connections = static_cast<uint32_t>((bytes - sizeof(ShardHeader)) / per_connection);
  return map(Fd(descriptor), bytes, connections);
}

ShardTable::ShardTable(ShardTable&& other) noexcept
    : memory_(std::move(other.memory_)),
      bytes_(std::exchange(other.bytes_, 0)),
      view_(other.view_) {}

ShardTable::~ShardTable() {
  if (bytes_ > 0) munmap(view_.header, bytes_);
}

}  // namespace lastack
