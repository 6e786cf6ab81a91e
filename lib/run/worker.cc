#include "run/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/process.h"
#include "shard/control.h"
#include "shard/establish.h"
#include "shard/table.h"
#include "survivor/common.h"
#include "survivor/survivor.h"
#include "victim/group_victims.h"
#include "victim/ring_victim.h"

namespace lastack {
namespace {

int64_t to_ns(const timeval& time) {
  return time.tv_sec * kSecond_ns + time.tv_usec * kMicrosecond_ns;
}

bool g_is_survivor = false;

void add_usage(int who, Message& message) {
  rusage usage{};
  getrusage(who, &usage);
  message.user_ns += to_ns(usage.ru_utime);
  message.system_ns += to_ns(usage.ru_stime);
  // The threads that the kernel makes for io_uring (create_io_thread: SQPOLL, io-wq) belong to this
  // process and are in all three figures.
  message.context_switches += usage.ru_nvcsw;
}

Message message_of(Verb verb, int64_t value = 0) {
  Message message;
  message.verb = verb;
  message.value = value;
  add_usage(RUSAGE_SELF, message);
  // A survivors' process has children only where they write for it (--sigpipe default). Victims'
  // processes started before the measurement did: their CPU cannot be told apart.
  if (g_is_survivor) add_usage(RUSAGE_CHILDREN, message);
  return message;
}

Message noted(Message message, std::string_view note) {
  note.copy(message.text, sizeof(message.text) - 1);
  return message;
}

// A refusal is the launcher's to report, which also looks at where this process really may run.
void pin(int cpu, std::atomic<int32_t>& refused) {
  if (cpu < 0) return;
  if (const Status failed = pin_to(cpu)) refused = failed->error_number;
}

// One of the shard's sockets as it is, for the manifest.
void note_victim_socket(const ShardView& shard) {
  for (const VictimEnd& end : shard.victims)
    if ((end.flags & kEstablished) && end.descriptor >= 0) {
      // What cannot be read stays unknown, which the manifest says.
      if (const auto facts = read_socket_facts(end.descriptor))
        shard.header->victim_socket = *facts;
      return;
    }
}

template <class End>
void store_end(End& end, int descriptor, const FourTuple& tuple) {
  end.descriptor = descriptor;
  end.tuple = tuple;
  end.flags |= kEstablished;
}

// What both roles do first: open the shard's connections, from either side.
struct Establisher {
  const ShardView& shard;
  Channel& channel;
  OnEstablished store;                                        // keeps a new end
  std::function<void(uint32_t slot, int error_number)> lose;  // notes why there is none
  // The four-tuple of the other side's end, where that stands.
  std::function<const FourTuple*(uint32_t slot)> other;
  // Small where this side's windows are to be filled; 0: the kernel's own.
  int receive_buffer = 0;
  Listeners listeners = {};
  bool ended = false;   // told to quit meanwhile
  Status refused = {};  // why nothing more can be heard

  // The answer to the messages that concern establishing; nullopt for all others.
  std::optional<Result<Message>> answer(const Message& message) {
    switch (message.verb) {
      case Verb::listen:
        return listen();
      case Verb::accept:
        return answer_of(accept(static_cast<uint32_t>(message.value)));
      case Verb::connect:
        return answer_of(connect({message.items, message.count}));
      default:
        return std::nullopt;
    }
  }

 private:
  static Result<Message> answer_of(const Result<uint32_t>& established) {
    if (!established) return established.error();
    return message_of(Verb::established, *established);
  }

  Result<Message> listen() {
    const ShardSettings& settings = shard.header->settings;
    auto opened = settings.in_backlog ? open_backlogs(settings.family, settings.listen_host,
                                                      settings.connections, receive_buffer)
                                      : open_listeners(settings.family, settings.listen_host,
                                                       settings.connections, receive_buffer);
    if (!opened) return opened.error();
    listeners = std::move(*opened);
    Message reply = message_of(Verb::listening);
    reply.count = static_cast<uint32_t>(listeners.ports.size());
    std::copy(listeners.ports.begin(), listeners.ports.end(), reply.items);
    return reply;
  }

  // The message that came meanwhile, if any; notes a quit.
  std::optional<Message> hear() {
    auto received = channel.receive(0);
    if (!received && received.error().error_number != EPIPE) refused = received.error();
    ended = ended || !received || (*received && (*received)->verb == Verb::quit);
    return received ? *received : std::nullopt;
  }

  // Which of the accepted connections the other side has made: whoever else came is a stranger, and
  // takes nobody's place. Looks at each of them once.
  struct Own {
    std::vector<FourTuple> made;  // in order
    size_t looked_at = 0;
    std::vector<size_t> found;
  };
  void look_for_own(std::span<const Accepted> accepted, Own& own) const {
    if (own.made.empty()) {
      for (uint32_t slot = 0; slot < shard.victims.size(); ++slot)
        if (const FourTuple* tuple = other(slot)) own.made.push_back(tuple->reversed());
      std::sort(own.made.begin(), own.made.end());
    }
    for (; own.looked_at < accepted.size(); ++own.looked_at)
      if (std::binary_search(own.made.begin(), own.made.end(), accepted[own.looked_at].tuple))
        own.found.push_back(own.looked_at);
  }

  // The coordinator sends `accept` again when the other side is done, with how many stand there.
  Result<uint32_t> accept(uint32_t expected) {
    bool all_connected = false;
    const auto revised = [&] {
      const auto message = hear();
      if (message && message->verb == Verb::accept) {
        expected = std::min(expected, static_cast<uint32_t>(message->value));
        all_connected = true;
      }
      return ended ? 0 : expected;
    };
    const int64_t until_ns = now_ns() + shard.header->settings.patience_ns;
    // Not before the other side is done: its number is still to come, and is no new question.
    const auto in_backlogs = [&] {
      const uint32_t number = revised();
      return all_connected || ended ? number : kNotSaid;
    };
    if (shard.header->settings.in_backlog)
      return wait_for_backlogs(listeners, in_backlogs, until_ns);
    std::vector<Accepted> accepted;
    Own own;
    const auto enough = [&] {
      revised();
      if (!ended && all_connected && accepted.size() >= expected) look_for_own(accepted, own);
      return ended || (all_connected && own.found.size() >= expected);
    };
    ShardProgress& progress = shard.header->progress;
    const Status failed = accept_connections(
        listeners,
        {enough, [&] { return all_connected; }, until_ns, channel.descriptor(), progress.accepted},
        accepted);
    // What the ring refuses is no connection's failure.
    if (failed && failed->operation != "accept") return *failed;
    if (failed) progress.accept_error.store(failed->error_number);
    // The other side notices the error, and what it has made by then still counts.
    while (failed && !all_connected && !ended) sleep_for(kMillisecond_ns), revised();
    if (!ended) look_for_own(accepted, own);
    if (ended) own.found.resize(accepted.size());  // the other side may still be at it: keep all
    if (ended) std::iota(own.found.begin(), own.found.end(), size_t{0});
    const size_t stands = std::min<size_t>(own.found.size(), shard.victims.size());
    for (uint32_t slot = 0; slot < stands; ++slot) {
      Accepted& one = accepted[own.found[slot]];
      store(slot, one.socket.release(), one.tuple);
    }
    return static_cast<uint32_t>(stands);
  }

  Result<uint32_t> connect(std::span<const uint32_t> items) {
    const std::vector<uint16_t> ports(items.begin(), items.end());
    const ShardSettings& settings = shard.header->settings;
    ShardProgress& progress = shard.header->progress;
    const Destination to{settings.family,
                         settings.listen_host,
                         settings.connect_from,
                         ports,
                         settings.in_backlog ? nullptr : &progress,
                         receive_buffer};
    const auto keep = [&](uint32_t slot, int descriptor, const FourTuple& tuple) {
      store(slot, descriptor, tuple);
      progress.connected.fetch_add(1, std::memory_order_relaxed);
    };
    const auto stopped = [&] {
      hear();
      return ended;
    };
    return open_connections(to, settings.connections, now_ns() + settings.patience_ns,
                            {keep, lose, stopped});
  }
};

template <class End, class OtherEnd>
Establisher establisher_of(const ShardView& shard, Channel& channel, std::span<End> ends,
                           std::span<OtherEnd> others) {
  return {shard, channel,
          [ends](uint32_t slot, int descriptor, const FourTuple& tuple) {
            store_end(ends[slot], descriptor, tuple);
          },
          [ends](uint32_t slot, int error_number) {
            ends[slot].open_error = static_cast<uint8_t>(error_number);
          },
          [others](uint32_t slot) {
            return others[slot].flags & kEstablished ? &others[slot].tuple : nullptr;
          }};
}

// Runs one role: `handle` answers a message; `work` does what there is to do until the channel is
// readable, and nullopt says that there is nothing. Where either is refused by the kernel, the
// coordinator hears why.
using Handler = std::function<Result<Message>(const Message&)>;
using Work = std::function<std::optional<Status>()>;
int serve(Establisher& establisher, const Handler& handle, const Work& work) {
  Channel& channel = establisher.channel;
  const auto give_up = [&](const Error& error) {
    return mute_exit(channel.send(failure_message(error)));
  };
  while (!establisher.ended) {
    const auto worked = work();
    if (worked && *worked) return give_up(**worked);
    const auto received = channel.receive(worked ? 0 : kForEver_ns);
    if (!received) return give_up(received.error());  // most likely the coordinator is gone
    if (!*received) continue;
    const Message& message = **received;
    if (message.verb == Verb::quit) return 0;
    const auto answer = handle(message);
    const bool silent = answer && answer->verb == Verb::quit;  // nothing to say
    if (silent) continue;
    if (const Status unsaid = channel.send(answer ? *answer : failure_message(answer.error())))
      return mute_exit(unsaid);
  }
  return establisher.refused ? give_up(*establisher.refused) : 0;
}

// The victims' ends that the worker itself keeps.
std::vector<uint32_t> own_slots(const ShardView& shard) {
  std::vector<uint32_t> slots;
  for (uint32_t slot = 0; slot < shard.victims.size(); ++slot) {
    const VictimEnd& end = shard.victims[slot];
    if (!(end.flags & kEstablished)) continue;
    const Scope scope = strategy_of(shard, end).scope;
    if (scope != Scope::process && scope != Scope::listener) slots.push_back(slot);
  }
  return slots;
}

Message no_answer() { return message_of(Verb::quit); }

}  // namespace

int survivor_worker_main() {
  g_is_survivor = true;
  auto table = ShardTable::attach(kFirstInherited);
  Channel channel(kFirstInherited + 1);
  if (!table) return mute_exit(channel.send(failure_message(table.error())));
  const ShardView shard = table->view();
  pin(shard.header->settings.survivor_cpu, shard.header->progress.survivor_pin_error);
  Establisher establisher = establisher_of(shard, channel, shard.survivors, shard.victims);
  establisher.receive_buffer = shard.header->settings.victims_send ? kFilledBuffer : 0;
  std::unique_ptr<Survivor> survivor;
  bool armed = false;

  const Handler handle = [&](const Message& message) -> Result<Message> {
    if (auto answer = establisher.answer(message)) return std::move(*answer);
    switch (message.verb) {
      case Verb::prepare: {
        auto opened = open_survivor(shard, channel.descriptor());
        if (!opened) return opened.error();
        survivor = std::move(*opened);
        if (Status failed = send_unread_bytes(shard)) return *failed;
        return message_of(Verb::prepared);
      }
      case Verb::arm:
        if (shard.header->settings.victims.reader_stopped)
          if (Status failed = fill_windows(shard)) return *failed;
        if (Status failed = survivor->arm()) return *failed;
        if (Status failed = check_sockets(shard)) return *failed;
        armed = true;
        return noted(message_of(Verb::armed), survivor->note());
      case Verb::told:
        survivor->hear_of_acts({message.items, message.count});
        return no_answer();
      case Verb::close_ledger:
        survivor->stop_load();
        if (const int refused = shard.header->progress.look_error.load())
          return make_error("getsockopt", refused, "TCP_INFO or SO_ERROR of an ended connection");
        return message_of(Verb::ledger_closed);
      case Verb::ask_alive:
        ask_whether_alive(shard);
        return message_of(Verb::asked);
      case Verb::clean_up:
        armed = false;
        if (survivor)
          if (Status failed = survivor->clean_up()) return *failed;
        return message_of(Verb::clean);
      default:
        return plain_error("a survivor does not understand this message");
    }
  };
  return serve(establisher, handle, [&]() -> std::optional<Status> {
    if (!armed) return std::nullopt;
    return survivor->run_until_control();
  });
}

namespace {

// Tells the survivor of acts that it waits for, in batches.
struct Stamps {
  Channel& channel;
  uint32_t most;
  Message message = message_of(Verb::stamp);
  Status unsent = {};  // without them a survivor waits for nothing

  void send() {
    if (message.count > 0 && !unsent) unsent = channel.send(message);
    message.count = 0;
  }
  void add(uint32_t slot) {
    message.items[message.count++] = slot;
    if (message.count >= most) send();
  }
};

// All of them, whatever becomes of the first.
Status clean_up_victims(GroupVictims& groups, std::optional<RingVictim>& victim) {
  Status failed = groups.clean_up();
  if (victim)
    if (Status refused = victim->clean_up(); refused && !failed) failed = std::move(refused);
  return failed;
}

}  // namespace

int victim_worker_main() {
  auto table = ShardTable::attach(kFirstInherited);
  Channel channel(kFirstInherited + 1);
  if (!table) return mute_exit(channel.send(failure_message(table.error())));
  const ShardView shard = table->view();
  const ShardSettings& settings = shard.header->settings;
  pin(settings.victim_cpu, shard.header->progress.victim_pin_error);
  if (const Status failed = settings.victims.idle_policy ? become_idle() : Status())
    return mute_exit(channel.send(failure_message(*failed)));
  Establisher establisher = establisher_of(shard, channel, shard.victims, shard.survivors);
  establisher.receive_buffer = settings.victims.reader_stopped ? kFilledBuffer : 0;
  std::optional<RingVictim> victim;
  GroupVictims groups(shard, table->descriptor(), establisher.listeners, channel);
  bool armed = false;

  Stamps stamps{channel, settings.stamps_per_message};
  ScheduleHooks hooks;
  hooks.acted = [&](uint32_t slot) { stamps.add(slot); };
  hooks.interrupted = [&] {
    const auto received = channel.receive(0);
    return !received || (*received && (*received)->verb == Verb::halt);
  };
  hooks.act_on_group = [&](uint32_t group) {
    groups.act(group);
    for (const uint32_t slot : groups.slots_of(group)) {
      const PlanRow& row = shard.row_of(shard.victims[slot]);
      if (survivor_is_told(row)) hooks.acted(slot);
    }
  };
  const Handler handle = [&](const Message& message) -> Result<Message> {
    if (auto answer = establisher.answer(message)) return std::move(*answer);
    switch (message.verb) {
      case Verb::prepare: {
        note_victim_socket(shard);  // before a ring or another process has them
        auto opened = RingVictim::open(shard, channel.descriptor(), own_slots(shard));
        if (!opened) return opened.error();
        victim.emplace(std::move(*opened));
        if (Status failed = victim->prepare()) return *failed;
        if (Status failed = groups.prepare()) return *failed;
        return message_of(Verb::prepared);
      }
      case Verb::arm:
        if (Status failed = victim->arm()) return *failed;
        if (Status failed = groups.arm()) return *failed;
        armed = true;
        return message_of(Verb::armed);
      case Verb::act:
        if (Status failed = victim->run_schedule(message.value, hooks)) return *failed;
        stamps.send();
        if (stamps.unsent) return *stamps.unsent;
        if (Status failed = groups.collect()) return *failed;
        return message_of(Verb::done);
      case Verb::halt:
        return message_of(Verb::done);
      case Verb::close_ledger:
        if (Status failed = groups.check()) return *failed;
        return message_of(Verb::ledger_closed);
      case Verb::clean_up:
        armed = false;
        if (Status failed = clean_up_victims(groups, victim)) return *failed;
        return message_of(Verb::clean);
      default:
        return plain_error("a victim does not understand this message");
    }
  };
  return serve(establisher, handle, [&]() -> std::optional<Status> {
    if (!armed) return std::nullopt;
    return victim->run_until_control();
  });
}

}  // namespace lastack
