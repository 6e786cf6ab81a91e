// Victims that go away with their process: real processes, each holding the connections of one
// group, started and ended by the shard's victim worker.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "shard/control.h"
#include "shard/ends.h"

namespace lastack {

class ProcessHosts {
 public:
  // `table`: the descriptor of the shard's table, which the processes inherit.
  ProcessHosts(const ShardView& shard, int table) : shard_(shard), table_(table) {}

  // Starts one process per group and hands it the group's connections, of which this process then
  // holds none.
  Status start();
  // Their requests in flight, their traffic.
  Status arm();
  // Makes the group's process go away, with t0 immediately before that.
  void act(uint32_t group);
  // After the last act: reaps, and notes whose process left without its stamp. The Error, here and
  // below, is the first one since start(): a process that ended otherwise than by its act, a call
  // that was refused.
  Status collect();
  // Whether those live that are to live.
  Status check();
  // Ends those that still live.
  Status clean_up();

 private:
  struct Host {
    pid_t pid;
    Channel channel;
    std::vector<uint32_t> slots;
    bool acted = false;
    bool act_failed = false;
    bool reaped = false;
  };
  Status start_host(uint32_t group, std::vector<uint32_t> slots);
  Status ask_all(Verb question, Verb answer);
  Step act_of(const Host& host) const;
  // Whether it lives, or why not; it must not have been asked to go.
  Status check(Host& host);
  // Of a process that is gone.
  Error death_of(Host& host, int wait_status);
  // Waits for the end of one that was made to go.
  void reap(Host& host);
  void note(Status failed) {
    if (failed && !failed_) failed_ = std::move(failed);
  }

  ShardView shard_;
  int table_;
  std::map<uint32_t, Host> hosts_;  // by group
  Status failed_;                   // the first one
};

// The life of such a process. Descriptors: 3 the table, 4 the channel.
int process_host_main();

}  // namespace lastack
