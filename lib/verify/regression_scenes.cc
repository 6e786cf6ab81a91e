#include "verify/regression_scenes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "net/namespaces.h"
#include "net/sock_diag.h"
#include "verify/regressions.h"

namespace lastack::verify {
namespace {

// What should come at once is looked for so often, with a pause between: counted and not timed, so
// that a host which stands still takes nothing away from it.
constexpr int kMostLooks = 50;
constexpr int64_t kPause_ns = 10 * kMillisecond_ns;

// Looks at each of `count` until it is there; returns which were.
std::vector<bool> look_for(size_t count, int looks, const std::function<bool(size_t)>& is_there) {
  std::vector<bool> there(count);
  for (int look = 0; look < looks; ++look) {
    for (size_t i = 0; i < count; ++i) there[i] = there[i] || is_there(i);
    if (std::ranges::all_of(there, std::identity())) break;
    sleep_for(kPause_ns);
  }
  return there;
}

bool has_event(int socket, short events) {
  pollfd looked{socket, events, 0};
  if (poll(&looked, 1, 0) < 0 && errno != EINTR) fail_stage(errno_error("poll"));
  return looked.revents & (events | POLLERR | POLLHUP);
}

void conclude_all(Way& way, std::string_view what, const std::vector<bool>& sound,
                  const std::string& if_sound, const std::string& if_broken) {
  for (const bool one : sound) {
    way.see(what, one ? if_sound : if_broken);
    way.conclude(one);
  }
}

// The timer of window probes is set to what is left of the user timeout by each ACK
// (tcp_clamp_probe0_to_user_timeout); of a timeout that is over, too much was left. Urgent data
// keeps the peer's segments out of the fast path (tcp_rcv_established), which looks at no ACK that
// acknowledges nothing.
void play_user_timeout(Stage& stage, const Scene&) {
  constexpr int kTimeout_ms = 200;
  constexpr int64_t kProbing_ns = 2500 * kMillisecond_ns, kInterval_ns = 100 * kMillisecond_ns;
  constexpr int kRounds = 30;
  const auto pairs = connect_pairs(stage, End::victim);
  Way& way = stage.begin("peer sends and does not read");
  for (const Pair& pair : pairs) shut_window(pair.survivor.get());
  sleep_for(kProbing_ns);  // until probes are rarer than what the peer sends
  for (const Pair& pair : pairs)
    require(set_option(pair.survivor.get(), Option::user_timeout_ms, kTimeout_ms));
  std::vector<bool> ended(pairs.size());
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (ended[i]) continue;
      (void)send(pairs[i].victim.get(), "x", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
      ended[i] = has_event(pairs[i].survivor.get(), POLLERR);
    }
    sleep_for(kInterval_ns);
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const int error = require(take_socket_error(pairs[i].survivor.get()));
    way.see("SO_ERROR", error == 0 ? "0" : errno_name(error));
    way.conclude(ended[i] && error == ETIMEDOUT);
  }
}

// A child that shares the socket and waits for data on it, as another thread would.
pid_t start_reader(int socket) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail_stage(errno_error("pipe"));
  const Fd ours(ends[0]), theirs(ends[1]);
  const pid_t parent = getpid();
  const pid_t reader = fork();
  if (reader < 0) fail_stage(errno_error("fork"));
  if (reader == 0) {
    become({"reader", 0}, parent);
    char byte = 0;
    if (write(theirs.get(), &byte, 1) == 1) (void)recv(socket, &byte, 1, 0);
    while (true) pause();
  }
  await_events(ours.get(), POLLIN);
  const std::string file = fmt::format("/proc/{}/stat", reader);
  const auto asleep = look_for(1, 10 * kMostLooks, [&](size_t) {
    return read_text(file).find(") S ") != std::string::npos;
  });
  if (!asleep.front()) fail_stage(make_error("wait for a reader to sleep", ETIME, ""));
  return reader;
}

void play_disconnect(Stage& stage, const Scene&) {
  Way& way = stage.begin("another process waits in recv()");
  for (const Pair& pair : connect_pairs(stage, End::victim)) {
    const pid_t reader = start_reader(pair.survivor.get());
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    const int failed = connect(pair.survivor.get(), &nobody, sizeof(nobody)) == 0 ? 0 : errno;
    way.see("connect(AF_UNSPEC)", failed == 0 ? "ok" : errno_name(failed));
    way.conclude(failed == 0);
    require(end_child(reader));
  }
}

void play_close_wait(Stage& stage, const Scene&) {
  const auto established = [&] { return count_packets_of(stage, End::survivor)["CurrEstab"]; };
  const int64_t others = established();
  const auto pairs = connect_pairs(stage, End::victim);
  const auto count = static_cast<int64_t>(pairs.size());
  for (const Pair& pair : pairs) {
    if (shutdown(pair.victim.get(), SHUT_WR) != 0) fail_stage(errno_error("shutdown"));
    await_events(pair.survivor.get(), POLLRDHUP);
  }
  const int64_t counted = std::clamp<int64_t>(established() - others, 0, count);
  Way& way = stage.begin("half-closed");
  way.see("TCP state", tcp_state_text(pairs.front().survivor.get()), count);
  for (int64_t i = 0; i < count; ++i) {
    way.see("in CurrEstab", i < counted ? "yes" : "no");
    way.conclude(i < counted);
  }
}

// tcp_abort() purged the queue of an orphan without ending it; a timer without a queue does nothing
// (tcp_probe_timer).
void play_destroy(Stage& stage, const Scene&) {
  auto pairs = connect_pairs(stage, End::victim);
  SockDiag diag = require(SockDiag::open());
  Way& way = stage.begin("closed behind a shut window, then destroyed");
  for (Pair& pair : pairs) {
    const FourTuple tuple = require(read_four_tuple(pair.victim.get()));
    shut_window(pair.victim.get());
    pair.victim.reset();
    if (const int failed = diag.destroy(Family::inet, tuple))
      fail_stage(make_error("SOCK_DESTROY", failed, "an orphan in FIN_WAIT1"));
  }
  const auto told = look_for(pairs.size(), 2 * kMostLooks,
                             [&](size_t i) { return has_event(pairs[i].survivor.get(), POLLHUP); });
  conclude_all(way, "the peer is", told, "told", "not told");
}

Fd open_shared_listener(const Address& at) {
  Fd listener = require(open_socket(Family::inet));
  const int on = 1;
  if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
    fail_stage(errno_error("setsockopt", "SO_REUSEPORT"));
  require(bind_socket(listener.get(), Family::inet, at));
  if (listen(listener.get(), 128) != 0) fail_stage(errno_error("listen"));
  return listener;
}

// inet_csk_listen_stop() puts what nobody has accepted into another listener's queue.
void play_migration(Stage& stage, const Scene&) {
  require(write_sysctls({{"net/ipv4/tcp_migrate_req", "1"}}));
  Way& way = stage.begin("a listener closes");
  for (size_t i = 0; i < stage.connections; ++i) {
    Fd first = open_shared_listener({INADDR_LOOPBACK, 0});
    const Address at = require(read_local_address(first.get()));
    const Fd client = require(open_socket(Family::inet));
    const SocketAddress target = to_socket_address(Family::inet, at);
    if (connect(client.get(), target.get(), target.length) != 0) fail_stage(errno_error("connect"));
    await_events(first.get(), POLLIN);
    const Fd second = open_shared_listener(at);
    const Fd instance(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = EPOLLIN;
    if (!instance.valid() || epoll_ctl(instance.get(), EPOLL_CTL_ADD, second.get(), &event) != 0)
      fail_stage(errno_error("epoll"));
    first.reset();
    const bool told = look_for(1, kMostLooks, [&](size_t) {
                        return epoll_wait(instance.get(), &event, 1, 0) == 1;
                      }).front();
    // What was not moved is reset, which says nothing of the announcement.
    const Fd accepted(accept4(second.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!accepted.valid()) fail_stage(errno_error("accept", "a connection that came over"));
    way.see("epoll_wait()", told ? "tells" : "does not tell");
    way.conclude(told);
  }
}

// One wake-up for the data and one for the end, both before the ring's thread runs its task work.
void play_multishot_way(Way& way, const std::vector<Pair>& pairs) {
  constexpr int kGroup = 0;
  Ring ring = require(Ring::open({.submission_entries = 128, .completion_entries = 1024}));
  BufferRing buffers = require(BufferRing::open(ring, 256, 64, kGroup));
  for (size_t i = 0; i < pairs.size(); ++i) {
    io_uring_sqe* sqe = ring.entry();
    if (!sqe) fail_stage(plain_error("io_uring gives no submission entry"));
    io_uring_prep_recv(sqe, pairs[i].survivor.get(), nullptr, 0, 0);
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kGroup;
    sqe->user_data = i;
  }
  ring.submit();
  for (const Pair& pair : pairs) {
    if (send(pair.victim.get(), "x", 1, MSG_NOSIGNAL) != 1) fail_stage(errno_error("send"));
    if (shutdown(pair.victim.get(), SHUT_WR) != 0) fail_stage(errno_error("shutdown"));
  }
  std::vector<std::string> last(pairs.size(), "nothing");
  std::array<io_uring_cqe*, 64> batch;
  const auto ended = look_for(pairs.size(), 2 * kMostLooks, [&](size_t one) {
    ring.poll();
    require(ring.status("multishot recv"));
    const auto ready = ring.completions(batch);
    for (const io_uring_cqe* cqe : ready)
      last[cqe->user_data] = cqe->res < 0 ? errno_name(-cqe->res) : fmt::format("{}", cqe->res);
    ring.seen(static_cast<unsigned>(ready.size()));
    return last[one] == "0";
  });
  require(ring.cancel_all());
  for (size_t i = 0; i < pairs.size(); ++i) {
    way.see("last completion", last[i]);
    way.conclude(ended[i]);
  }
}

void play_multishot(Stage& stage, const Scene&) {
  std::vector<Pair> pairs(stage.connections);
  for (Pair& pair : pairs) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      fail_stage(errno_error("socketpair"));
    pair.victim.reset(ends[0]);
    pair.survivor.reset(ends[1]);
  }
  play_multishot_way(stage.begin("AF_UNIX"), pairs);
  // tcp_inq_hint() says that there is more after a FIN, so that the request looks again.
  play_multishot_way(stage.begin("TCP"), connect_pairs(stage, End::victim));
}

void play_filter(Stage& stage, const Scene&) {
  constexpr int kTried = 1;
  Way& way = stage.begin("without capabilities");
  auto processes = start_processes(stage, End::victim, [](int socket, ChildRecord& child_record) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capset, &header, none) != 0) fail_stage(errno_error("capset"));
    const Status refused = drop_incoming(socket);
    child_record.sent = refused ? refused->error_number : 0;
    reach(child_record, kTried);
  });
  for (Process& process : processes) {
    await_stage(process, kTried);
    await_exit(process);
    const auto failed = static_cast<int>(process.child_record->sent);
    way.see("SO_ATTACH_FILTER", failed == 0 ? "ok" : errno_name(failed));
    way.conclude(failed == EPERM);
  }
}

// `detail`: whether a request waits on another direct descriptor of the ring.
void play_direct_close(Stage& stage, const Scene& scene) {
  const bool busy = scene.detail != 0;
  auto pairs = connect_pairs(stage, End::victim);
  Way& way = stage.begin(busy ? "a recv waits on another direct descriptor" : "nothing else");
  Ring ring = require(Ring::open({.submission_entries = 128, .completion_entries = 256}));
  const auto count = static_cast<unsigned>(pairs.size());
  const auto register_all = [&] {
    if (const int failed = io_uring_register_files_sparse(ring.raw(), count + 1); failed < 0)
      fail_stage(make_error("io_uring_register_files_sparse", -failed, ""));
    for (unsigned i = 0; i < count; ++i) {
      const int socket = pairs[i].victim.get();
      if (const int got = io_uring_register_files_update(ring.raw(), i, &socket, 1); got < 0)
        fail_stage(make_error("io_uring_register_files_update", -got, ""));
      pairs[i].victim.reset();
    }
  };
  const auto entry = [&] {
    io_uring_sqe* sqe = ring.entry();
    if (!sqe) fail_stage(plain_error("io_uring gives no submission entry"));
    return sqe;
  };
  std::array<io_uring_cqe*, 64> batch;
  char byte = 0;
  // The last one stays open, and a request waits on it.
  const unsigned closing = count - 1;
  register_all();
  if (busy) {
    io_uring_sqe* sqe = entry();
    io_uring_prep_recv(sqe, static_cast<int>(closing), &byte, 1, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    ring.submit();
  }
  for (unsigned i = 0; i < closing; ++i) io_uring_prep_close_direct(entry(), i);
  ring.submit();
  const auto told = look_for(closing, kMostLooks, [&](size_t i) {
    ring.poll();
    ring.seen(static_cast<unsigned>(ring.completions(batch).size()));
    require(ring.status("close of a direct descriptor"));
    return has_event(pairs[i].survivor.get(), POLLRDHUP);
  });
  conclude_all(way, "FIN", told, "at once", "not within half a second");
}

constexpr Scene regression(std::string_view name, void (*play)(Stage&, const Scene&),
                           int detail = 0) {
  return {.case_id = kRegressionCase,
          .variant = name,
          .play = play,
          .detail = detail,
          .patient_orphans = true};
}

constexpr Scene kScenes[] = {
    regression("zero-window-user-timeout", play_user_timeout),
    regression("disconnect-blocked-reader", play_disconnect),
    regression("close-wait-currestab", play_close_wait),
    regression("destroy-shut-window", play_destroy),
    regression("listener-migration", play_migration),
    regression("multishot-eof", play_multishot),
    regression("filter-without-rights", play_filter),
    regression("direct-close-late", play_direct_close),
    regression("direct-close-waits", play_direct_close, 1),
};

}  // namespace

std::span<const Scene> regression_scenes() { return kScenes; }

}  // namespace lastack::verify
