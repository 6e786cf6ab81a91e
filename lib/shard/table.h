// The connection table: one piece of shared memory per shard.
#pragma once

#include "base/error.h"
#include "base/file.h"
#include "shard/ends.h"

namespace lastack {

// Bytes of the shared memory of so many connections.
size_t table_bytes(size_t connections, bool writers);

// A shard's table, mapped; unmapped at the end of its life.
class ShardTable {
 public:
  // Makes the memory; its descriptor is handed to the workers.
  static Result<ShardTable> create(uint32_t connections, bool writers = false);
  // Maps what another process made.
  static Result<ShardTable> attach(int descriptor);
  ShardTable(ShardTable&& other) noexcept;
  ShardTable& operator=(ShardTable&&) = delete;
  ~ShardTable();

  const ShardView& view() const { return view_; }
  int descriptor() const { return memory_.get(); }

 private:
  ShardTable() = default;
  static Result<ShardTable> map(Fd memory, size_t bytes);
  void lay_out();
  Fd memory_;
  size_t bytes_ = 0;
  ShardView view_{};
};

}  // namespace lastack
