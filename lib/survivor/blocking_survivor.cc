#include "survivor/blocking_survivor.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/sanitizers.h"
#include "shard/limits.h"

namespace lastack {
namespace {

// Instrumented frames are several times larger.
constexpr size_t kStackBytes = (kSanitized ? 8 : 1) * kThreadStackBytes;
constexpr size_t kReadBytes = 4096;  // on the stack

}  // namespace

Result<BlockingSurvivor> BlockingSurvivor::open(const ShardView& shard, int control) {
  BlockingSurvivor survivor(shard, control);
  survivor.shared_ = std::make_unique<Shared>();
  survivor.lines_ = std::vector<Line>(shard.survivors.size());
  survivor.scratch_.resize(static_cast<size_t>(shard.header->settings.payload_bytes), 'r');
  return survivor;
}

Status BlockingSurvivor::arm() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  uint32_t started = 0;
  Status failed;
  for (uint32_t slot = 0; slot < shard_.survivors.size() && !failed; ++slot) {
    const SurvivorEnd& end = shard_.survivors[slot];
    if (!(end.flags & kEstablished)) continue;
    failed = set_probe(shard_, end);
    if (failed) break;
    Line& line = lines_[slot];
    line.owner = this;
    line.slot = slot;
    if (const int error = pthread_create(&line.thread, &attributes, thread_main, &line)) {
      failed = make_error("pthread_create", error,
                          fmt::format("thread {} of {}, one per connection (--watch blocking)",
                                      started + 1, shard_.survivors.size()));
      break;
    }
    line.started = true;
    ++started;
  }
  pthread_attr_destroy(&attributes);
  if (failed) return failed;
  // They share this thread's CPU: let them run.
  while (shared_->at_work.load() < started) sleep_for(kMillisecond_ns);
  requests_.start();
  return std::nullopt;
}

void* BlockingSurvivor::thread_main(void* argument) {
  Line& line = *static_cast<Line*>(argument);
  line.owner->survive(line);
  return nullptr;
}

void BlockingSurvivor::survive(Line& line) {
  SurvivorEnd& end = shard_.survivors[line.slot];
  shared_->at_work.fetch_add(1);
  const WhenTold when_told = strategy_of(shard_, end).when_told;
  if (when_told != WhenTold::goes_on) {
    line.told.wait(0);
    if (stopping()) return;
    if (when_told == WhenTold::writes_after_fin) {
      wait_for_events(end, POLLRDHUP);
      if (stopping()) return;
      write_first(end);
    }
    write_if_chatty(shard_, end);
  }
  std::array<char, kReadBytes> buffer;
  while (true) {
    const ssize_t got = recv(end.descriptor, buffer.data(), buffer.size(), 0);
    const int failed = got < 0 ? errno : 0;
    const int64_t stamp_ns = reap_stamp(shard_);
    if (stopping()) return;  // woken by end_threads()
    if (got > 0) {
      count_received(shard_, end, static_cast<uint32_t>(got));
      continue;
    }
    if (failed == EINTR) continue;
    if (got == 0) end.evidence.read_eof = true;
    if (failed && end.evidence.read_error == 0)
      end.evidence.read_error = static_cast<int16_t>(failed);
    take_write_error(line, end);
    if (conclude(shard_, end, stamp_ns) != Conclusion::hang_up) return;
    // From here on recv() returns 0 at once: only POLLHUP tells the answer to the write.
    const unsigned events = wait_for_events(end, 0);
    if (stopping()) return;
    end.evidence.poll_events |= static_cast<uint16_t>(events);
    conclude(shard_, end, now_ns());
    return;
  }
}

unsigned BlockingSurvivor::wait_for_events(const SurvivorEnd& end, short events) {
  pollfd waited{end.descriptor, events, 0};
  while (poll(&waited, 1, -1) < 0)
    if (errno != EINTR) return shared_->wait_error.store(errno), 0u;
  return static_cast<uint16_t>(waited.revents);
}

// The main thread's request may be what got the errno of the end that woke this thread.
void BlockingSurvivor::take_write_error(Line& line, SurvivorEnd& end) {
  while (line.writing.load(std::memory_order_acquire)) sched_yield();
  if (end.evidence.write_error == 0)
    end.evidence.write_error = line.write_error.load(std::memory_order_relaxed);
}

void BlockingSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  for (const uint32_t slot : slots) {
    if (slot >= lines_.size()) continue;
    lines_[slot].told.store(1);
    lines_[slot].told.notify_one();
  }
}

Status BlockingSurvivor::run_until_control() {
  pollfd control{control_, POLLIN, 0};
  while (true) {
    requests_.send_due([&](uint32_t slot) { return send_request_of(slot); });
    timespec room;
    const int ready = ppoll(&control, 1, patience(false, requests_.next_ns(), room), nullptr);
    if (ready < 0 && errno != EINTR) return errno_error("ppoll", "control");
    if (const int failed = shared_->wait_error.load()) return make_error("poll", failed, "");
    if (ready > 0) return std::nullopt;
  }
}

bool BlockingSurvivor::send_request_of(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  Line& line = lines_[slot];
  line.writing.store(true);
  const ssize_t sent =
      send(end.descriptor, scratch_.data(), scratch_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno != EAGAIN) line.write_error.store(static_cast<int16_t>(errno));
    set_response_left(end, 0);
  }
  line.writing.store(false, std::memory_order_release);
  return sent >= 0;
}

Status BlockingSurvivor::end_threads() {
  if (!shared_) return std::nullopt;  // moved from
  Status first;
  shared_->stopping.store(true, std::memory_order_release);
  for (Line& line : lines_) {
    if (!line.started) continue;
    line.told.store(1);
    line.told.notify_one();
    SurvivorEnd& end = shard_.survivors[line.slot];
    if ((flags_of(end) & kConcluded) || end.descriptor < 0) continue;
    // close() would leave the thread in its recv(): only shutdown() wakes it (inet_shutdown). One
    // whose connection is no more is awake.
    if (shutdown(end.descriptor, SHUT_RDWR) == 0 || errno == ENOTCONN) continue;
    if (!first) first = errno_error("shutdown", "the socket of a thread that is to end");
    pthread_detach(line.thread);  // it ends with its process
    line.started = false;
  }
  for (Line& line : lines_) {
    if (line.started) pthread_join(line.thread, nullptr);
    line.started = false;
  }
  return first;
}

Status BlockingSurvivor::clean_up() {
  const Status failed = end_threads();
  close_abortively(shard_);
  return failed;
}

}  // namespace lastack
