// A worker process: the victims or the survivors of one shard, driven by messages.
#pragma once

namespace lastack {

// The worker's whole life; returns its exit code. Descriptors: 3 the table, 4 the channel.
int victim_worker_main();
int survivor_worker_main();

}  // namespace lastack
