#include "shard/table.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lastack {

size_t table_bytes(size_t connections, bool writers) {
  size_t per_connection = sizeof(VictimEnd) + sizeof(SurvivorEnd);
  if (writers) per_connection += sizeof(WriteRecord) + sizeof(ReadRecord);
  return sizeof(ShardHeader) + connections * per_connection;
}

Result<ShardTable> ShardTable::map(Fd memory, size_t bytes) {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (start == MAP_FAILED) return errno_error("mmap", "shard table");
  ShardTable table;
  table.memory_ = std::move(memory);
  table.bytes_ = bytes;
  table.view_.header = static_cast<ShardHeader*>(start);
  return table;
}

// Where the arrays are follows from the header's settings.
void ShardTable::lay_out() {
  const ShardSettings& settings = view_.header->settings;
  const size_t connections = settings.connections;
  auto* victims = reinterpret_cast<VictimEnd*>(view_.header + 1);
  auto* survivors = reinterpret_cast<SurvivorEnd*>(victims + connections);
  auto* writes = reinterpret_cast<WriteRecord*>(survivors + connections);
  auto* reads = reinterpret_cast<ReadRecord*>(writes + connections);
  view_.victims = {victims, connections};
  view_.survivors = {survivors, connections};
  if (!settings.writers) return;
  view_.writes = {writes, connections};
  view_.reads = {reads, connections};
}

Result<ShardTable> ShardTable::create(uint32_t connections, bool writers) {
  Fd memory(memfd_create("lastack-shard", MFD_CLOEXEC));
  const size_t bytes = table_bytes(connections, writers);
  if (!memory.valid()) return errno_error("memfd_create", "shard table");
  if (ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0)
    return errno_error("ftruncate", "shard table");
  auto table = map(std::move(memory), bytes);
  if (!table) return table;
  // A memfd starts as zeros, which is right for every field but these.
  table->view_.header->settings.connections = connections;
  table->view_.header->settings.writers = writers;
  table->lay_out();
  for (VictimEnd& end : table->view_.victims) {
    end.pair = kNoPair;
    end.group = kNoGroup;
    end.descriptor = -1;
  }
  for (SurvivorEnd& end : table->view_.survivors) {
    end.pair = kNoPair;
    end.descriptor = -1;
  }
  for (WriteRecord& record : table->view_.writes) record.victim = kNoPair;
  return table;
}

Result<ShardTable> ShardTable::attach(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return errno_error("fstat", "shard table");
  const auto bytes = static_cast<size_t>(status.st_size);
  if (bytes < sizeof(ShardHeader)) return make_error("attach", EINVAL, "shard table");
  auto table = map(Fd(descriptor), bytes);
  if (!table) return table;
  const ShardSettings& settings = table->view_.header->settings;
  if (bytes < table_bytes(settings.connections, settings.writers))
    return make_error("attach", EINVAL, "shard table");
  table->lay_out();
  return table;
}

ShardTable::ShardTable(ShardTable&& other) noexcept
    : memory_(std::move(other.memory_)),
      bytes_(std::exchange(other.bytes_, 0)),
      view_(other.view_) {}

ShardTable::~ShardTable() {
  if (bytes_ > 0) munmap(view_.header, bytes_);
}

}  // namespace lastack
