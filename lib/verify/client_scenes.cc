#include "verify/client_scenes.h"

#include <fmt/format.h>
#include <poll.h>

#include "base/clock.h"

namespace lastack::verify {
namespace {

// What the watch says: its events, or what its read returned.
std::string told(Stage& stage, Observer observer, int socket) {
  const Observation seen = observe(stage, observer, socket);
  if (!seen.read) return seen.events.empty() ? "nothing" : seen.events;
  return *seen.read >= 0 ? fmt::format("recv {}", *seen.read)
                         : fmt::format("recv {}", errno_name(static_cast<int>(-*seen.read)));
}

// C1: two sends to a server that has closed.
void play_two_sends(Stage& stage, const Scene& scene, Way& way, Reset reset) {
  const bool signals = scene.sender == Sender::send || scene.sender == Sender::write;
  std::vector<Pair> pairs = connect_pairs(stage, End::survivor);
  const int64_t resets_before = count_resets(stage);
  for (Pair& pair : pairs) {
    const int survivor = pair.survivor.get();
    pair.victim.reset();
    await_events(survivor, POLLRDHUP);
    way.see("told before the sends", told(stage, scene.observer, survivor));
    const int pipes_before = sigpipes();
    if (reset == Reset::held_back) require(drop_incoming(survivor));
    const std::string first = send_byte(stage, scene.sender, survivor);
    // What was refused draws no reset: the sights say so.
    if (reset == Reset::awaited && first == "ok") await_events(survivor, POLLHUP);
    const bool back_before = tcp_state_text(survivor) == "CLOSE";
    const std::string second = send_byte(stage, scene.sender, survivor);
    const bool back_after = tcp_state_text(survivor) == "CLOSE";
    const int pipes = sigpipes() - pipes_before;
    const bool as_claimed = first == "ok" && second == "EPIPE" && pipes == 1;
    way.see("first send", first);
    way.see("second send", second);
    way.see("SIGPIPE", fmt::format("{}", pipes));
    // An RST that comes while the second send runs may come before or after its look at it.
    way.see("RST back", back_before  ? "before the second send"
                        : back_after ? "during the second send"
                                     : "later");
    if (!signals)
      way.conclude(as_claimed);
    else
      way.conclude(as_claimed, back_before == back_after ? back_before : as_claimed);
    if (reset == Reset::held_back) {
      let_in(survivor);
    } else {
      if (first == "ok" || second == "ok") await_events(survivor, POLLHUP);
      way.see("told after the sends", told(stage, scene.observer, survivor));
    }
  }
  // Held back, a retransmission may provoke some more.
  if (reset != Reset::held_back) see_resets(stage, way, resets_before);
}

void play_closed_server(Stage& stage, const Scene& scene) {
  play_two_sends(stage, scene, stage.begin("RST awaited"), Reset::awaited);
  play_two_sends(stage, scene, stage.begin("RST held back"), Reset::held_back);
  play_two_sends(stage, scene, stage.begin("at once", false), Reset::free);
}

// C2: data, FIN, one packet back, then read.
void play_send_then_read(Stage& stage, const Scene& scene, Way& way, Reset reset) {
  std::vector<Pair> pairs = connect_pairs(stage, End::survivor);
  const int64_t resets_before = count_resets(stage);
  for (Pair& pair : pairs) {
    const int survivor = pair.survivor.get();
    way.bytes_sent += send_bytes(pair.victim.get(), kEarlierBytes);
    pair.victim.reset();
    await_events(survivor, POLLRDHUP);
    way.see("send", send_byte(stage, scene.sender, survivor));
    if (reset == Reset::awaited) await_events(survivor, POLLHUP);
    const Reading reading = read_all(stage, scene.observer, survivor);
    if (reset == Reset::free) await_events(survivor, POLLHUP);
    way.bytes_received += reading.bytes;
    if (!reading.first_events.empty() && reset == Reset::awaited)
      way.see("events", reading.first_events);
    way.see("data", share_text(reading.bytes, kEarlierBytes));
    way.see("last read", reading.last);
    way.see("SO_ERROR", errno_name(require(take_socket_error(survivor))));
    way.conclude(reading.bytes == kEarlierBytes && reading.last == "0");
  }
  see_resets(stage, way, resets_before);
}

void play_data_then_close(Stage& stage, const Scene& scene) {
  play_send_then_read(stage, scene, stage.begin("RST awaited"), Reset::awaited);
  play_send_then_read(stage, scene, stage.begin("at once", false), Reset::free);
}

// C3: the server closes with a byte unread, after it sent data that has arrived or has not.
void play_unread_close(Stage& stage, const Scene& scene, Way& way, bool queued) {
  const bool sends_first = scene.detail != 0;
  std::vector<Pair> pairs = connect_pairs(stage, End::survivor);
  const int64_t resets_before = count_resets(stage);
  for (Pair& pair : pairs) {
    const int survivor = pair.survivor.get();
    send_byte(stage, Sender::send, survivor);
    await_unread(pair.victim.get(), 1);
    const int64_t sent =
        queued ? fill_queue(pair.victim.get()) : send_bytes(pair.victim.get(), kEarlierBytes);
    if (!queued) await_unread(survivor, kEarlierBytes);
    const bool undelivered = require(unread_bytes(survivor)) < sent;
    pair.victim.reset();
    await_events(survivor, POLLHUP);
    const int pipes_before = sigpipes();
    std::string send;
    if (sends_first) {
      send = send_byte(stage, scene.sender, survivor);
      way.see("send", send);
      way.see("SIGPIPE", fmt::format("{}", sigpipes() - pipes_before));
    }
    const Reading reading = read_all(stage, scene.observer, survivor);
    way.bytes_sent += sent;
    way.bytes_received += reading.bytes;
    if (!reading.first_events.empty()) way.see("events", reading.first_events);
    way.see("data", share_text(reading.bytes, sent));
    way.see("last read", reading.last);
    if (sends_first)
      way.conclude(send == "ECONNRESET");
    else
      way.conclude(reading.last == "ECONNRESET" && reading.bytes < sent, undelivered);
  }
  see_resets(stage, way, resets_before);
}

void play_close_with_unread(Stage& stage, const Scene& scene) {
  play_unread_close(stage, scene, stage.begin("data delivered"), false);
  play_unread_close(stage, scene, stage.begin("data queued"), true);
}

struct NamedObserver {
  std::string_view name;
  Observer observer;
};
constexpr NamedObserver kObservers[] = {
    {"recv", Observer::recv},
    {"blocking", Observer::blocking},
    {"poll", Observer::poll},
    {"epoll", Observer::epoll},
    {"select", Observer::select},
    {"io_uring-recv", Observer::uring_recv},
    {"io_uring-poll", Observer::uring_poll},
};

std::vector<Scene> make_scenes() {
  std::vector<Scene> scenes;
  for (const NamedObserver& row : kObservers) {
    scenes.push_back({"C1", row.name, play_closed_server, row.observer});
    scenes.push_back({"C2", row.name, play_data_then_close, row.observer});
    scenes.push_back({"C3", row.name, play_close_with_unread, row.observer});
  }
  const auto c1 = [&](std::string_view variant, Sender sender) {
    scenes.push_back({"C1", variant, play_closed_server, Observer::poll, sender});
  };
  c1("send-nosignal", Sender::send_nosignal);
  c1("io_uring-send", Sender::uring_send);
  c1("write", Sender::write);
  scenes.push_back(
      {.case_id = "C3", .variant = "send-first", .play = play_close_with_unread, .detail = 1});
  return scenes;
}

}  // namespace

std::span<const Scene> client_scenes() {
  static const std::vector<Scene> kScenes = make_scenes();
  return kScenes;
}

}  // namespace lastack::verify
