#include "victim/process_hosts.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/clock.h"
#include "base/process.h"
#include "model/strategy.h"
#include "shard/table.h"
#include "victim/ring_victim.h"

namespace lastack {
namespace {

constexpr int64_t kExitTimeout_ns = 10 * kSecond_ns;

// Calls serve(i) whenever waited[i + 1] is ready, until waited[0], the control, is.
template <class Serve>
Status serve_until_control(std::vector<pollfd>& waited, Serve serve) {
  while (true) {
    if (poll(waited.data(), waited.size(), -1) < 0) {
      if (errno != EINTR) return errno_error("poll", "victim process");
      continue;
    }
    if (waited[0].revents) return std::nullopt;
    for (size_t i = 0; i + 1 < waited.size(); ++i)
      if (waited[i + 1].revents) serve(i);
  }
}

// Reads what writing survivors send, and counts it. By poll(2): a ring would change how the process
// dies.
class Reader {
 public:
  // `reads`: else what comes stays unread.
  Reader(const ShardView& shard, std::span<const uint32_t> slots, int control, bool reads)
      : shard_(shard), slots_(slots.begin(), slots.end()), buffer_(64 << 10) {
    waited_.push_back({control, POLLIN, 0});
    for (const uint32_t slot : slots_)
      waited_.push_back({reads ? shard_.victims[slot].descriptor : -1, POLLIN, 0});
  }

  Status run_until_control() {
    return serve_until_control(waited_, [&](size_t i) { read_one(i); });
  }

  // Just before the process leaves by itself.
  void note_accounts() {
    for (const uint32_t slot : slots_) note_account(shard_, slot);
  }

 private:
  void read_one(size_t index) {
    pollfd& waited = waited_[index + 1];
    const ssize_t got = recv(waited.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got > 0) shard_.reads[slots_[index]].delivered_bytes += static_cast<uint64_t>(got);
    if (got == 0 || (got < 0 && errno != EAGAIN)) waited.fd = -1;
  }

  ShardView shard_;
  std::vector<uint32_t> slots_;
  std::vector<char> buffer_;
  std::vector<pollfd> waited_;
};

// Sends on every connection as fast as its peer allows; the peers do not read.
class Sender {
 public:
  Sender(const ShardView& shard, std::span<const uint32_t> slots, int control)
      : shard_(shard), slots_(slots.begin(), slots.end()), message_(kFillMessage, 'd') {
    waited_.push_back({control, POLLIN, 0});
    for (const uint32_t slot : slots_)
      waited_.push_back({shard_.victims[slot].descriptor, POLLOUT, 0});
  }

  // Until every peer's window is shut: who dies now leaves data behind that was never sent.
  Status fill() {
    std::vector<int> sockets;
    for (const uint32_t slot : slots_) sockets.push_back(shard_.victims[slot].descriptor);
    return fill_until_shut(sockets, [&](size_t i, size_t bytes) {
      shard_.victims[slots_[i]].bytes_sent += static_cast<uint32_t>(bytes);
    });
  }

  Status run_until_control() {
    return serve_until_control(waited_, [&](size_t i) { send_one(i); });
  }

 private:
  void send_one(size_t index) {
    pollfd& waited = waited_[index + 1];
    const ssize_t sent =
        send(waited.fd, message_.data(), message_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) waited.fd = -1;  // its survivor has ended it
    if (sent > 0) shard_.victims[slots_[index]].bytes_sent += static_cast<uint32_t>(sent);
  }

  ShardView shard_;
  std::vector<uint32_t> slots_;
  std::vector<char> message_;
  std::vector<pollfd> waited_;
};

}  // namespace

Status ProcessHosts::start() {
  std::map<uint32_t, std::vector<uint32_t>> groups;
  for (uint32_t slot = 0; slot < shard_.victims.size(); ++slot) {
    const VictimEnd& end = shard_.victims[slot];
    if ((end.flags & kEstablished) &&
        strategy_of(shard_, shard_.victims[slot]).scope == Scope::process)
      groups[end.group].push_back(slot);
  }
  for (auto& [group, slots] : groups)
    if (Status failed = start_host(group, std::move(slots))) return failed;
  return ask_all(Verb::prepare, Verb::prepared);
}

Status ProcessHosts::start_host(uint32_t group, std::vector<uint32_t> slots) {
  for (const uint32_t slot : slots) {
    if (strategy_of(shard_, shard_.victims[slot]).prepare != Step::verify_unread) continue;
    if (const int failed = wait_until_unread(shard_.victims[slot].descriptor))
      return make_error("prepare", failed, "the byte that stays unread");
  }
  auto channels = Channel::open_pair();
  if (!channels) return channels.error();
  const int inherited[] = {table_, channels->second.descriptor()};
  const auto pid = spawn_self({"host", group}, inherited);
  if (!pid) return pid.error();
  Host& host =
      hosts_.emplace(group, Host{*pid, std::move(channels->first), std::move(slots)}).first->second;
  for (size_t first = 0; first < host.slots.size(); first += Message::kMostItems) {
    Message message;
    message.verb = Verb::adopt;
    std::vector<int> descriptors;
    const size_t last = std::min(first + Message::kMostItems, host.slots.size());
    for (size_t i = first; i < last; ++i) {
      message.items[message.count++] = host.slots[i];
      descriptors.push_back(shard_.victims[host.slots[i]].descriptor);
    }
    const Status failed = host.channel.send(message, descriptors);
    if (failed && failed->error_number != EPIPE) return failed;  // ask_all() says why it is gone
    // A descriptor that stayed here would keep the connection alive after its process.
    for (const int descriptor : descriptors) close(descriptor);
  }
  return std::nullopt;
}

// All of them are asked before the first answer is waited for: they work at the same time.
Status ProcessHosts::ask_all(Verb question, Verb answer) {
  Message message;
  message.verb = question;
  for (auto& [group, host] : hosts_) {
    const Status failed = host.channel.send(message);
    if (failed && failed->error_number != EPIPE) return failed;  // why it is gone is said below
  }
  const int64_t until_ns = now_ns() + shard_.header->settings.patience_ns;
  for (auto& [group, host] : hosts_) {
    const auto received = host.channel.receive(until_ns);
    if (!received) {
      if (received.error().error_number != EPIPE) return received.error();
      const auto ended = await_end(host.pid, now_ns() + kExitTimeout_ns);
      host.reaped = static_cast<bool>(ended);
      return ended ? death_of(host, *ended) : ended.error();
    }
    if (!*received)
      return make_error("victim process", ETIME, fmt::format("{} does not answer", host.pid));
    if ((*received)->verb != answer)
      return make_error(fmt::format("victim process {}: {}", host.pid, (*received)->text),
                        static_cast<int>((*received)->value), "");
  }
  return std::nullopt;
}

Status ProcessHosts::arm() { return ask_all(Verb::arm, Verb::armed); }

Step ProcessHosts::act_of(const Host& host) const {
  return strategy_of(shard_, shard_.victims[host.slots.front()]).act;
}

Error ProcessHosts::death_of(Host& host, int wait_status) {
  const auto said = host.channel.receive(0);
  if (said && *said && (*said)->verb == Verb::failed) return error_of(**said);
  return death_error(fmt::format("victim process {} with {} connections, not by its act,", host.pid,
                                 host.slots.size()),
                     wait_status);
}

Status ProcessHosts::check(Host& host) {
  const bool is_to_live = !host.acted || act_of(host) == Step::freeze_process;
  if (host.reaped || !is_to_live) return std::nullopt;
  const auto ended = look_for_end(host.pid);
  if (!ended) return ended.error();
  if (!*ended) return std::nullopt;
  host.reaped = true;
  return death_of(host, **ended);
}

void ProcessHosts::act(uint32_t group) {
  Host& host = hosts_.at(group);
  const Step step = act_of(host);
  Message leave;
  leave.verb = Verb::act;
  int failed = 0;
  if (Status gone = check(host)) {
    failed = ESRCH;
    note(std::move(gone));
  }
  host.acted = true;
  // t0: one for all that die with this process. Writing survivors look at it, so it stands there
  // before the act. A process that exits stamps by itself.
  if (!failed) {
    if (step != Step::exit_process) stamp_acts(shard_, host.slots);
    if (step == Step::kill_process) failed = kill(host.pid, SIGKILL) == 0 ? 0 : errno;
    if (step == Step::freeze_process) failed = kill(host.pid, SIGSTOP) == 0 ? 0 : errno;
    if (step == Step::exit_process)
      if (const Status unsent = host.channel.send(leave)) failed = unsent->error_number;
  }
  host.act_failed = failed != 0;
  for (const uint32_t slot : host.slots) {
    VictimEnd& end = shard_.victims[slot];
    end.flags |= kInjected;
    end.act_error = failed;
  }
  if (failed && step == Step::exit_process) stamp_acts(shard_, host.slots);
  ShardProgress& progress = shard_.header->progress;
  if (failed) progress.failed_acts += host.slots.size();
  progress.injected += host.slots.size();
  // Survivors that are told do something next, and what that meets must be decided: kill() returns
  // before the process has closed anything.
  const bool told = survivor_is_told(shard_.row_of(shard_.victims[host.slots.front()]));
  if (told && step != Step::freeze_process && !failed) reap(host);
}

void ProcessHosts::reap(Host& host) {
  if (host.reaped) return;
  auto ended = await_end(host.pid, now_ns() + kExitTimeout_ns);
  const bool overdue = !ended && ended.error().error_number == ETIME;
  if (overdue) {
    note(make_error("victim process", ETIME, fmt::format("{} does not end", host.pid)));
    ended = end_child(host.pid);
  }
  host.reaped = true;
  if (!ended) return note(ended.error());
  const bool by_itself = !overdue && act_of(host) == Step::exit_process;
  if (by_itself && *ended != 0) note(death_of(host, *ended));
}

Status ProcessHosts::collect() {
  for (auto& [group, host] : hosts_) {
    const Step step = act_of(host);
    if (!host.acted || host.act_failed || step == Step::freeze_process) continue;
    reap(host);
    if (step != Step::exit_process) continue;
    for (const uint32_t slot : host.slots)
      if (shard_.victims[slot].issued_ns == 0) shard_.victims[slot].act_error = ETIME;
  }
  return failed_;
}

Status ProcessHosts::check() {
  for (auto& [group, host] : hosts_) note(check(host));
  return failed_;
}

Status ProcessHosts::clean_up() {
  for (auto& [group, host] : hosts_) note(check(host));
  for (auto& [group, host] : hosts_)  // at the same time; a stopped process dies of it, too
    if (!host.reaped) kill(host.pid, SIGKILL);
  for (auto& [group, host] : hosts_) {
    if (std::exchange(host.reaped, true)) continue;
    const auto ended = end_child(host.pid);
    if (!ended) note(ended.error());
  }
  return failed_;
}

namespace {

// Takes the ends over whose descriptors came with the message.
Status adopt(const ShardView& shard, const Message& message, std::vector<Fd>& descriptors,
             std::vector<uint32_t>& slots) {
  // The kernel hands over fewer where this process may not have more (SCM_RIGHTS in unix(7)).
  if (descriptors.size() != message.count)
    return make_error("receive the descriptors of connections", EMFILE,
                      fmt::format("{} of {}", descriptors.size(), message.count));
  for (size_t i = 0; i < descriptors.size(); ++i) {
    shard.victims[message.items[i]].descriptor = descriptors[i].release();
    slots.push_back(message.items[i]);
  }
  return std::nullopt;
}

}  // namespace

int process_host_main() {
  auto table = ShardTable::attach(3);
  Channel channel(4);
  if (!table) return mute_exit(channel.send(failure_message(table.error())));
  const ShardView& shard = table->view();
  const ShardSettings& settings = shard.header->settings;
  std::vector<uint32_t> slots;
  std::optional<RingVictim> ring;
  std::optional<Sender> sender;
  std::optional<Reader> reader;
  bool armed = false;
  while (true) {
    Status refused;
    if (armed && ring) refused = ring->run_until_control();
    if (armed && sender) refused = sender->run_until_control();
    if (armed && reader) refused = reader->run_until_control();
    if (refused) return mute_exit(channel.send(failure_message(*refused)));
    std::vector<Fd> descriptors;
    const auto received = channel.receive(armed ? 0 : kForEver_ns, &descriptors);
    if (!received) return mute_exit(channel.send(failure_message(received.error())));
    if (!*received) continue;
    Message answer;
    Status failed;
    switch ((*received)->verb) {
      case Verb::adopt:
        if (const Status short_of = adopt(shard, **received, descriptors, slots))
          return mute_exit(channel.send(failure_message(*short_of)));
        continue;
      case Verb::prepare: {
        answer.verb = Verb::prepared;
        // Without work for it a ring would only change how the process dies.
        if (strategy_of(shard, shard.victims[slots.front()]).victim_sends || settings.writers ||
            (!victims_answer(shard) && settings.victims.victim_requests == VictimRequests::none &&
             !settings.victims.direct_descriptors))
          break;
        auto opened = RingVictim::open(shard, channel.descriptor(), slots);
        if (opened)
          ring.emplace(std::move(*opened));
        else
          failed = opened.error();
        break;
      }
      case Verb::arm:
        answer.verb = Verb::armed;
        if (ring) failed = ring->arm();
        if (strategy_of(shard, shard.victims[slots.front()]).victim_sends) {
          sender.emplace(shard, slots, channel.descriptor());
          failed = sender->fill();
        } else if (settings.writers) {
          const bool reads =
              !strategy_of(shard, shard.victims[slots.front()]).survivor_sends_unread;
          reader.emplace(shard, slots, channel.descriptor(), reads);
        }
        armed = ring || sender || reader;
        break;
      case Verb::act:
        if (reader) reader->note_accounts();
        stamp_acts(shard, slots);
        _exit(0);
      default:
        return 1;
    }
    if (failed) answer = failure_message(*failed);
    if (const Status unsaid = channel.send(answer)) return mute_exit(unsaid);
  }
}

}  // namespace lastack
