#include "verify/abort_scenes.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/clock.h"

namespace lastack::verify {
namespace {

std::string result_text(ssize_t result) {
  return result >= 0 ? std::to_string(result) : errno_name(errno);
}

std::string read_now(int socket) {
  char buffer[4096];
  return result_text(recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT));
}

void abort_victim(Pair& pair) {
  require(set_option(pair.victim.get(), Option::linger, 0));
  pair.victim.reset();
}

// All victims of new connections abort; the RSTs have arrived.
std::vector<Pair> aborted_pairs(Stage& stage) {
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  for (Pair& pair : pairs) abort_victim(pair);
  for (const Pair& pair : pairs) await_events(pair.survivor.get(), POLLHUP);
  return pairs;
}

enum Queued : int { kAllRead, kUnread, kLinger };

// A1, A2: a close while the send queue is full.
void play_queued(Stage& stage, const Scene& scene) {
  Way& way = stage.begin(scene.variant);
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  const int64_t resets_before = count_resets(stage);
  std::vector<int64_t> sent;
  for (Pair& pair : pairs) {
    if (scene.detail == kUnread) {
      send_byte(stage, Sender::send, pair.survivor.get());
      await_unread(pair.victim.get(), 1);
    }
    sent.push_back(fill_queue(pair.victim.get()));
    way.see("undelivered at close()",
            require(unread_bytes(pair.survivor.get())) < sent.back() ? "yes" : "no");
    if (scene.detail == kLinger) {
      const int64_t before_close = count_resets(stage);
      abort_victim(pair);
      // An ACK that was on its way to the closed socket may draw one more.
      way.see("RST sent when close() returned", count_resets(stage) > before_close ? "yes" : "no");
    } else {
      pair.victim.reset();
    }
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const Reading reading = read_all(stage, Observer::poll, pairs[i].survivor.get());
    way.bytes_sent += sent[i];
    way.bytes_received += reading.bytes;
    const std::string data = share_text(reading.bytes, sent[i]);
    way.see("data", data);
    way.see("last read", reading.last);
    way.conclude(scene.detail == kLinger ? data == "part" && reading.last == "ECONNRESET"
                                         : data == "all" && reading.last == "0");
  }
  see_resets(stage, way, resets_before);
}

// A3: FIN or RST, by the first read or, where `detail` is set, by the second.
void play_tell_apart(Stage& stage, const Scene& scene) {
  const bool second_counts = scene.detail != 0;
  if (!second_counts) {
    Way& way = stage.begin("close");
    std::vector<Pair> pairs = connect_pairs(stage, End::victim);
    for (Pair& pair : pairs) pair.victim.reset();
    for (Pair& pair : pairs) {
      await_events(pair.survivor.get(), POLLRDHUP);
      const std::string first = read_now(pair.survivor.get());
      way.see("first read", first);
      way.see("TCP state", tcp_state_text(pair.survivor.get()));
      way.conclude(first == "0");
    }
  }
  Way& way = stage.begin("abort");
  for (Pair& pair : aborted_pairs(stage)) {
    const std::string first = read_now(pair.survivor.get());
    const std::string second = read_now(pair.survivor.get());
    way.see("first read", first);
    way.see("second read", second);
    way.see("TCP state", tcp_state_text(pair.survivor.get()));
    way.conclude((second_counts ? second : first) == "ECONNRESET");
  }
}

void play_data_before_rst(Stage& stage, const Scene&) {
  Way& way = stage.begin("abort");
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  for (Pair& pair : pairs) {
    way.bytes_sent += send_bytes(pair.victim.get(), kEarlierBytes);
    await_unread(pair.survivor.get(), kEarlierBytes);
    abort_victim(pair);
    await_events(pair.survivor.get(), POLLHUP);
    const Reading reading = read_all(stage, Observer::poll, pair.survivor.get());
    way.bytes_received += reading.bytes;
    way.see("data", share_text(reading.bytes, kEarlierBytes));
    way.see("last read", reading.last);
    way.conclude(reading.last == "ECONNRESET");
  }
}

void play_rst_after_fin(Stage& stage, const Scene&) {
  Way& way = stage.begin("RST after FIN");
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  const int64_t resets_before = count_resets(stage);
  for (Pair& pair : pairs) {
    const int survivor = pair.survivor.get();
    pair.victim.reset();
    await_events(survivor, POLLRDHUP);
    way.see("send", send_byte(stage, Sender::send, survivor));
    await_events(survivor, POLLHUP);
    way.see("events", observe(stage, Observer::poll, survivor).events);
    const std::string first = read_now(survivor);
    way.see("first read", first);
    way.see("SO_ERROR", errno_name(require(take_socket_error(survivor))));
    way.see("TCP state", tcp_state_text(survivor));
    way.conclude(first == "ECONNRESET");
  }
  see_resets(stage, way, resets_before);
}

// A4: what is on the wire between the RSTs and a quiet end. Idle connections owe no ACK.
void play_no_answer(Stage& stage, const Scene&) {
  Way& way = stage.begin("abort");
  std::vector<Pair> pairs = connect_pairs(stage, End::victim);
  // Delayed ACKs and the like are over once nothing moves any more.
  auto before = count_packets(stage);
  for (int quiet = 0; quiet < 3;) {
    sleep_for(50 * kMillisecond_ns);
    const auto now = count_packets(stage);
    quiet = now == before ? quiet + 1 : 0;
    before = now;
  }
  auto victim_before = count_packets_of(stage, End::victim);
  for (Pair& pair : pairs) abort_victim(pair);
  for (const Pair& pair : pairs) await_events(pair.survivor.get(), POLLHUP);
  sleep_for(200 * kMillisecond_ns);  // an answer would have come within the minimum RTO
  auto after = count_packets(stage);
  auto victim_after = count_packets_of(stage, End::victim);
  const int64_t resets = after["OutRsts"] - before["OutRsts"];
  const int64_t sent = after["OutSegs"] - before["OutSegs"];
  const int64_t arrived = victim_after["InSegs"] - victim_before["InSegs"];
  // On loopback the RSTs arrive where they left; behind veth the victim's namespace has its own
  // counters, which no packet of the survivor's may move.
  const int64_t answers = stage.veth ? arrived : sent - resets;
  const auto many = static_cast<int64_t>(pairs.size());
  way.see("RSTs per connection", per_connection(resets, pairs.size()), many);
  way.see("segments after the RST", std::to_string(answers), many);
  if (stage.veth)
    way.see("segments that reached the victim's namespace", std::to_string(arrived), many);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::string state = tcp_state_text(pairs[i].survivor.get());
    way.see("TCP state", state);
    way.conclude(static_cast<int64_t>(i) >= answers && state == "CLOSE");
  }
}

volatile sig_atomic_t g_signals = 0;
void on_any_signal(int) { g_signals = g_signals + 1; }

enum Blocking : int { kByRecv, kBySend, kBySendNoSignal, kByOthers };

// A5: blocking sockets whose RST has arrived.
void play_blocking(Stage& stage, const Scene& scene) {
  Way& way = stage.begin(scene.variant);
  for (const int number : {SIGIO, SIGURG}) signal(number, on_any_signal);
  const int pipes_before = sigpipes();
  for (Pair& pair : aborted_pairs(stage)) {
    const int survivor = pair.survivor.get();
    way.see("signals before the call", std::to_string(g_signals));
    char buffer[64];
    std::string first, second;
    if (scene.detail == kByRecv || scene.detail == kByOthers) {
      if (scene.detail == kByOthers) {
        way.see("events", observe(stage, Observer::poll, survivor).events);
        way.see("SO_ERROR", errno_name(require(take_socket_error(survivor))));
      }
      first = result_text(recv(survivor, buffer, sizeof(buffer), 0));
      second = result_text(recv(survivor, buffer, sizeof(buffer), 0));
    } else {
      const Sender sender = scene.detail == kBySend ? Sender::send : Sender::send_nosignal;
      const int before = sigpipes();
      first = send_byte(stage, sender, survivor);
      const int between = sigpipes();
      second = send_byte(stage, sender, survivor);
      way.see("SIGPIPE at the first call", std::to_string(between - before));
      way.see("SIGPIPE at the second call", std::to_string(sigpipes() - between));
    }
    way.see("first call", first);
    way.see("second call", second);
    way.conclude(first == "ECONNRESET");
  }
  if (scene.detail == kByRecv)
    way.see("signals", std::to_string(sigpipes() - pipes_before + g_signals), way.connections);
}

// A process per connection sleeps in recv() while its peer aborts.
void play_asleep(Stage& stage, const Scene&) {
  Way& way = stage.begin("recv-asleep");
  enum { kAboutToSleep = 1, kAwake = 2 };
  std::vector<Process> processes =
      start_processes(stage, End::survivor, [](int socket, ChildRecord& child_record) {
        for (const int number : {SIGIO, SIGURG, SIGPIPE}) signal(number, on_any_signal);
        char byte;
        reach(child_record, kAboutToSleep);
        const ssize_t got = recv(socket, &byte, 1, 0);
        child_record.sent = got < 0 ? -errno : got;
        child_record.undelivered = g_signals;
        reach(child_record, kAwake);
      });
  for (Process& process : processes) {
    await_stage(process, kAboutToSleep);
    bool asleep = false;
    for (int attempt = 0; !asleep && attempt < 5000; ++attempt) {
      const std::string stat = read_first_line("/proc/" + std::to_string(process.pid) + "/stat");
      asleep = stat.find(") S ") != std::string::npos;
      if (!asleep) sleep_for(kMillisecond_ns);
    }
    way.see("asleep when the RST came", asleep ? "yes" : "no");
    require(set_option(process.peer.get(), Option::linger, 0));
    process.peer.reset();
    await_stage(process, kAwake);
    const int64_t result = process.child_record->sent;
    const std::string first =
        result < 0 ? errno_name(static_cast<int>(-result)) : std::to_string(result);
    way.see("first call", first);
    way.see("signals", std::to_string(process.child_record->undelivered));
    way.conclude(first == "ECONNRESET" && process.child_record->undelivered == 0);
    await_exit(process);
  }
}

// A6: every watch reports it readable, the read fails.
void play_watches(Stage& stage, const Scene& scene) {
  Way& way = stage.begin(scene.variant);
  for (Pair& pair : aborted_pairs(stage)) {
    const std::string events = observe(stage, scene.observer, pair.survivor.get()).events;
    const std::string first = read_now(pair.survivor.get());
    way.see("events", events);
    way.see("first read", first);
    const bool readable = events.starts_with("readable") || events.starts_with("IN");
    way.conclude(readable && first == "ECONNRESET");
  }
}

constexpr Scene kAbortScenes[] = {
    {.case_id = "A1",
     .variant = "all-read",
     .play = play_queued,
     .detail = kAllRead,
     .patient_orphans = true},
    {.case_id = "A1", .variant = "unread", .play = play_queued, .detail = kUnread},
    {.case_id = "A2", .variant = "linger-zero", .play = play_queued, .detail = kLinger},
    {.case_id = "A3", .variant = "first-read", .play = play_tell_apart},
    {.case_id = "A3", .variant = "second-read", .play = play_tell_apart, .detail = 1},
    {.case_id = "A3", .variant = "data-before-rst", .play = play_data_before_rst},
    {.case_id = "A3", .variant = "rst-after-fin", .play = play_rst_after_fin},
    {.case_id = "A4", .variant = "idle", .play = play_no_answer},
    {.case_id = "A5", .variant = "recv", .play = play_blocking, .detail = kByRecv},
    {.case_id = "A5", .variant = "recv-asleep", .play = play_asleep},
    {.case_id = "A5", .variant = "send", .play = play_blocking, .detail = kBySend},
    {.case_id = "A5", .variant = "send-nosignal", .play = play_blocking, .detail = kBySendNoSignal},
    {.case_id = "A5", .variant = "no-read-no-write", .play = play_blocking, .detail = kByOthers},
    {.case_id = "A6", .variant = "select", .play = play_watches, .observer = Observer::select},
    {.case_id = "A6", .variant = "poll", .play = play_watches, .observer = Observer::poll},
    {.case_id = "A6", .variant = "epoll", .play = play_watches, .observer = Observer::epoll},
    {.case_id = "A6",
     .variant = "io_uring-poll",
     .play = play_watches,
     .observer = Observer::uring_poll},
};

}  // namespace

std::span<const Scene> abort_scenes() { return kAbortScenes; }

}  // namespace lastack::verify
