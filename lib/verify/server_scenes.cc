#include "verify/server_scenes.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "model/probe.h"

namespace lastack::verify {
namespace {

// S1: the path is cut, or the victim forgets the connection.

enum Silence : int { kIdle, kWriting, kKeepalive, kUserTimeoutIdle, kUnreachable, kRebooted };

// When the kernel gives up.
int64_t retransmission_timeout_ns(int retries) {
  ProbeSettings settings;
  settings.retries2 = retries;
  return nominal_ns(Probe::retransmit, settings);
}

std::string seconds_text(int64_t duration_ns) {
  return fmt::format("{:.1f} s", static_cast<double>(duration_ns) / 1e9);
}

void play_silence(Stage& stage, const Scene& scene) {
  constexpr int kIdle_s = 1, kInterval_s = 1, kCount = 2, kUserTimeout_ms = 1000;
  const auto kind = static_cast<Silence>(scene.detail);
  const bool writes = kind == kWriting || kind == kUnreachable || kind == kRebooted;
  const int64_t scaled_ns = retransmission_timeout_ns(kScaledRetries);
  const int64_t keepalive_ns = (kIdle_s + kInterval_s * kCount) * kSecond_ns;

  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  stage.begin(kind == kUnreachable ? "one address" : scene.variant);
  if (kind == kUnreachable) {
    // The router counts its answers by source, so sources of their own get theirs.
    constexpr size_t kHosts = 200;
    for (Pair& pair : connect_pairs(stage, End::survivor, add_survivor_hosts(kHosts)))
      pairs.push_back(std::move(pair));
    stage.begin("own addresses");
    stage.record.ways.front().forced = false;
  }
  const auto way_of = [&](size_t i) -> Way& { return stage.record.ways[i / stage.connections]; };
  for (const Pair& pair : pairs) {
    if (kind == kKeepalive) {
      require(set_option(pair.survivor.get(), Option::keepalive_idle_s, kIdle_s));
      require(set_option(pair.survivor.get(), Option::keepalive_interval_s, kInterval_s));
      require(set_option(pair.survivor.get(), Option::keepalive_count, kCount));
      require(set_option(pair.survivor.get(), Option::keepalive, 1));
    }
    if (kind == kUserTimeoutIdle)
      require(set_option(pair.survivor.get(), Option::user_timeout_ms, kUserTimeout_ms));
  }
  auto before = count_packets(stage);
  if (kind == kRebooted) {
    for (Pair& pair : pairs) {
      require(set_option(pair.victim.get(), Option::repair, 1));
      pair.victim.reset();
    }
  } else if (stage.veth) {
    require(cut_cable(stage, kind == kUnreachable));
  } else {
    for (const Pair& pair : pairs) require(drop_incoming(pair.victim.get()));
  }
  const int64_t start_ns = now_ns();
  if (writes)
    for (size_t i = 0; i < pairs.size(); ++i)
      way_of(i).see("send", send_byte(stage, Sender::send_nosignal, pairs[i].survivor.get()));

  // Silence is watched for four times as long as the scaled timer, which fires at the first
  // retransmission after it (up to twice as late); an error is waited for with more patience, as
  // timers may be late on a busy host.
  const bool expects_nothing = kind == kIdle || kind == kUserTimeoutIdle;
  const int64_t patience_ns = expects_nothing ? 4 * scaled_ns : 20 * scaled_ns;
  std::vector<int64_t> found_ns(pairs.size(), -1);
  size_t missing = pairs.size();
  while (missing > 0 && now_ns() < start_ns + patience_ns) {
    sleep_for(20 * kMillisecond_ns);
    for (size_t i = 0; i < pairs.size(); ++i) {
      pollfd waited{pairs[i].survivor.get(), POLLIN | POLLRDHUP, 0};
      if (found_ns[i] >= 0) continue;
      const int ready = poll(&waited, 1, 0);
      if (ready < 0 && errno != EINTR) fail_stage(errno_error("poll"));
      if (ready != 1) continue;
      found_ns[i] = now_ns() - start_ns;
      --missing;
    }
  }
  int64_t earliest_ns = patience_ns, latest_ns = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    Way& way = way_of(i);
    const int survivor = pairs[i].survivor.get();
    char byte;
    const ssize_t got = recv(survivor, &byte, 1, MSG_DONTWAIT);
    const std::string read = got >= 0 ? fmt::format("{}", got) : errno_name(errno);
    const std::string finding = found_ns[i] < 0 ? "nothing" : read;
    way.see("finding", finding);
    way.see("recv", read);
    way.see("TCP state", tcp_state_text(survivor));
    // A timeout ended it, whatever it is called.
    way.conclude(finding == "ETIMEDOUT" || finding == "EHOSTUNREACH");
    if (found_ns[i] >= 0) earliest_ns = std::min(earliest_ns, found_ns[i]);
    latest_ns = std::max(latest_ns, found_ns[i]);
    // Silent because nobody wrote, not because the path still works.
    if (expects_nothing) send_byte(stage, Sender::send_nosignal, survivor);
  }
  if (expects_nothing) {
    sleep_for(200 * kMillisecond_ns);
    for (size_t i = 0; i < pairs.size(); ++i)
      way_of(i).see("a byte sent at the end", unacknowledged_bytes(pairs[i].survivor.get()) > 0
                                                  ? "unacknowledged"
                                                  : "acknowledged");
  }
  auto after = count_packets(stage);
  const auto moved = [&](const char* name) {
    return per_connection(after[name] - before[name], pairs.size());
  };
  for (Way& way : stage.record.ways) {
    if (kind == kKeepalive)
      way.see("probes per connection", moved("TCPKeepAlive"), way.connections);
    if (writes) way.see("retransmissions per connection", moved("RetransSegs"), way.connections);
  }
  if (missing < pairs.size())
    stage.note("found after",
               fmt::format("{} to {}", seconds_text(earliest_ns), seconds_text(latest_ns)));
  if (expects_nothing) stage.note("watched for", seconds_text(patience_ns));
  if (kind == kWriting || kind == kUnreachable) {
    stage.note("scaled timer",
               fmt::format("tcp_retries2={}: {} after the first retransmission, at the next timer",
                           kScaledRetries, seconds_text(scaled_ns)));
    stage.note("unscaled prediction",
               fmt::format("tcp_retries2={}: {}, likewise", kDefaultRetries,
                           seconds_text(retransmission_timeout_ns(kDefaultRetries))));
  }
  if (kind == kUnreachable)
    stage.note("what decides the error",
               "whether the router answered this connection: Linux answers a source five times, "
               "then once a second (ip_error)");
  if (kind == kKeepalive) {
    stage.note("scaled timer", fmt::format("1 s + 2 x 1 s = {}", seconds_text(keepalive_ns)));
    stage.note("unscaled prediction", "7200 s + 9 x 75 s = 7875 s");
  }
}

// S2 to S4: victims are processes.

enum Death : int { kCloseAndStay, kCloseAndExit, kExit, kKilled };
constexpr int kUnreadByte = 16, kChatty = 32;  // beside a Death

enum Reached : int { kSent = 1, kTold = 2 };

constexpr int64_t kFewBytes = 16 * 1024;

// The life of a client that sends and then dies in this way.
void send_and_die(int socket, ChildRecord& child_record, Death death, bool fill,
                  bool leaves_unread) {
  if (leaves_unread) await_parent(socket);
  child_record.sent = fill ? shut_window(socket) : send_bytes(socket, kFewBytes);
  // With a byte unread, death is an RST, which cuts off what is still on its way.
  if (!fill) await_delivered(socket);
  child_record.undelivered = unacknowledged_bytes(socket);
  if (death == kCloseAndStay || death == kCloseAndExit) close(socket);
  reach(child_record, kSent);
  if (death == kCloseAndExit || death == kExit) return;
  char data[1024] = {};
  while (death == kKilled && fill) {  // goes on sending until it is killed
    pollfd waited{socket, POLLOUT, 0};
    if (poll(&waited, 1, -1) < 0 && errno != EINTR) fail_stage(errno_error("poll"));
    const ssize_t got = send(socket, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (got > 0) child_record.sent += got;
  }
  while (true) pause();
}

void play_death_way(Stage& stage, const Scene& scene, Way& way, bool fill) {
  const auto death = static_cast<Death>(scene.detail & 15);
  const bool leaves_unread = scene.detail & kUnreadByte, chatty = scene.detail & kChatty;
  const int64_t resets_before = count_resets(stage);
  std::vector<Process> processes =
      start_processes(stage, End::victim, [&](int socket, ChildRecord& child_record) {
        send_and_die(socket, child_record, death, fill, leaves_unread);
      });
  if (leaves_unread)
    for (const Process& process : processes)
      send_byte(stage, Sender::send_nosignal, process.peer.get());
  for (Process& process : processes) {
    await_stage(process, kSent);
    if (!fill) await_unread(process.peer.get(), kFewBytes);
    if (death == kKilled)
      kill_process(process);
    else if (death != kCloseAndStay)
      await_exit(process);
  }
  for (Process& process : processes) {
    const int survivor = process.peer.get();
    const ChildRecord& child_record = *process.child_record;
    std::string send = "none";
    if (leaves_unread) await_events(survivor, POLLHUP);  // the RST is here
    if (chatty) {
      // A FIN that is on its way must have arrived before it can be overtaken.
      if (!leaves_unread && !fill) await_events(survivor, POLLRDHUP);
      send = send_byte(stage, Sender::send_nosignal, survivor);
      await_events(survivor, POLLHUP);
    }
    const Reading reading = read_all(stage, Observer::poll, survivor);
    way.bytes_sent += child_record.sent;
    way.bytes_received += reading.bytes;
    // A client that is killed may die between a send and its note of it: at most one more.
    const std::string data =
        reading.bytes >= child_record.sent ? "all" : share_text(reading.bytes, child_record.sent);
    const bool reset = send == "ECONNRESET" || reading.last == "ECONNRESET";
    way.see("data", data);
    if (chatty) way.see("send", send);
    way.see("last read", reading.last);
    if (death == kExit || death == kKilled)
      way.see("reset told by", send == "ECONNRESET" ? "send" : reset ? "recv" : "nothing");
    const bool undelivered = child_record.undelivered > 0;
    switch (death) {
      case kCloseAndStay:
      case kCloseAndExit:
        way.conclude(data == "all" && reading.last == "0");
        break;
      case kExit:  // the whole claim: part of the data, then the reset
        way.conclude(data == "part" && reset, undelivered);
        break;
      case kKilled:
        way.conclude(reset, undelivered);
        break;
    }
  }
  see_resets(stage, way, resets_before);
  for (Process& process : processes)
    if (process.pid > 0) kill_process(process);
}

void play_death(Stage& stage, const Scene& scene) {
  play_death_way(stage, scene, stage.begin("queue left"), true);
  play_death_way(stage, scene, stage.begin("all delivered"), false);
}

// S4/race: the client reads whatever comes and is killed about when the server's byte comes.
enum class Race : uint8_t { unread, read_first, free };

void play_race_way(Stage& stage, Way& way, Race race, Random& random) {
  const bool reads = race != Race::unread;
  std::vector<Process> processes =
      start_processes(stage, End::victim, [reads](int socket, ChildRecord& child_record) {
        child_record.sent = shut_window(socket);
        child_record.undelivered = unacknowledged_bytes(socket);
        reach(child_record, kSent);
        pollfd waited{socket, POLLIN, 0};
        if (poll(&waited, reads ? 1 : 0, -1) < 0) fail_stage(errno_error("poll"));
        // The kernel writes the byte into shared memory in the call that takes it off the queue.
        const ssize_t got = recv(socket, child_record.read, 1, 0);
        reach(child_record, got == 1 ? kTold : kSent);
        while (true) pause();
      });
  for (Process& process : processes) {
    await_stage(process, kSent);
    const int survivor = process.peer.get();
    send_byte(stage, Sender::send_nosignal, survivor);
    if (race == Race::read_first) await_stage(process, kTold);
    if (race == Race::free) {
      const int64_t until_ns = now_ns() + static_cast<int64_t>(random.below(100)) * kMicrosecond_ns;
      while (now_ns() < until_ns) {
      }
    }
    kill_process(process);
    const bool unread = process.child_record->read[0] == 0;
    if (unread) await_events(survivor, POLLHUP);
    const Reading reading = read_all(stage, Observer::poll, survivor);
    way.bytes_sent += process.child_record->sent;
    way.bytes_received += reading.bytes;
    way.see("the byte", unread ? "unread" : "read");
    way.see("data", share_text(reading.bytes, process.child_record->sent));
    way.see("last read", reading.last);
    way.conclude(reading.last == "ECONNRESET", unread);
  }
}

void play_race(Stage& stage, const Scene&) {
  Random random{20261122};
  play_race_way(stage, stage.begin("unread"), Race::unread, random);
  play_race_way(stage, stage.begin("read first"), Race::read_first, random);
  play_race_way(stage, stage.begin("left to timing", false), Race::free, random);
}

// S5: sends to a peer that has closed, until an error comes.
void play_sends_way(Stage& stage, Way& way, Reset reset) {
  constexpr int kHeldSends = 3, kMostSends = 100'000;
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  const int64_t resets_before = count_resets(stage);
  for (Pair& pair : pairs) {
    const int survivor = pair.survivor.get();
    way.bytes_sent += send_bytes(pair.victim.get(), kEarlierBytes);
    pair.victim.reset();
    await_events(survivor, POLLRDHUP);
    const int pipes_before = sigpipes();
    if (reset == Reset::held_back) require(drop_incoming(survivor));
    int succeeded = 0;
    std::string first, result = "ok";
    while (succeeded < kMostSends) {
      result = send_byte(stage, Sender::send, survivor);
      if (first.empty()) first = result;
      if (result != "ok") break;
      ++succeeded;
      if (reset == Reset::awaited) await_events(survivor, POLLHUP);
      if (reset == Reset::held_back && succeeded == kHeldSends) let_in(survivor);
    }
    const Reading reading = read_all(stage, Observer::poll, survivor);
    way.bytes_received += reading.bytes;
    way.see("first send", first);
    way.see("error", result);
    // The exact number is a matter of timing once the RST travels freely.
    way.see("sends that succeeded", succeeded <= 4 ? fmt::format("{}", succeeded) : "5 or more");
    way.see("SIGPIPE", fmt::format("{}", sigpipes() - pipes_before));
    way.see("data", share_text(reading.bytes, kEarlierBytes));
    way.see("last read", reading.last);
    way.conclude(succeeded >= 1 && result == "EPIPE" && reading.bytes == kEarlierBytes);
  }
  see_resets(stage, way, resets_before);
}

void play_sends(Stage& stage, const Scene&) {
  play_sends_way(stage, stage.begin("RST awaited"), Reset::awaited);
  play_sends_way(stage, stage.begin("RST held back"), Reset::held_back);
  play_sends_way(stage, stage.begin("at once", false), Reset::free);
}

constexpr Scene silence(std::string_view variant, Silence kind) {
  return {.case_id = "S1", .variant = variant, .play = play_silence, .detail = kind, .waits = true};
}
constexpr Scene death(std::string_view case_id, std::string_view variant, int detail) {
  return {.case_id = case_id,
          .variant = variant,
          .play = play_death,
          .detail = detail,
          .patient_orphans = true};
}

constexpr Scene kServerScenes[] = {
    silence("idle", kIdle),
    silence("writing", kWriting),
    silence("keepalive", kKeepalive),
    silence("user-timeout-idle", kUserTimeoutIdle),
    silence("writing-unreachable", kUnreachable),
    silence("rebooted", kRebooted),
    death("S2", "stays", kCloseAndStay),
    death("S2", "exits", kCloseAndExit),
    death("S3", "silent", kExit),
    death("S3", "chatty", kExit | kChatty),
    death("S3", "unread-silent", kExit | kUnreadByte),
    death("S3", "unread-chatty", kExit | kUnreadByte | kChatty),
    death("S4", "silent", kKilled),
    death("S4", "chatty", kKilled | kChatty),
    death("S4", "unread-silent", kKilled | kUnreadByte),
    death("S4", "unread-chatty", kKilled | kUnreadByte | kChatty),
    {.case_id = "S4", .variant = "race", .play = play_race, .patient_orphans = true},
    {.case_id = "S5", .variant = "send", .play = play_sends},
};

}  // namespace

std::span<const Scene> server_scenes() { return kServerScenes; }

}  // namespace lastack::verify
