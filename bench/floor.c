// floor.c: the least code that measures how soon a TCP reset is seen over loopback.
//
// The victim connects N times and then resets each connection; the survivor accepts them and
// keeps one receive armed on each. The latency of a connection runs from the victim's stamp just
// before it submits the close to the survivor's stamp just after it reaps ECONNRESET. The two are
// processes, not threads, because both ends of 10,000 connections pass a hard limit of 20,000
// descriptors.
//
// Exit status: 0 all resets found, 1 failure or unexpected completion, 2 deadline, 64 bad usage.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <liburing.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_DEADLINE = 2, EXIT_USAGE = 64 };
enum { CONNECTIONS_MAX = 18000, LISTEN_BACKLOG = 1024, SUBMISSION_ENTRIES = 256, REAP_BATCH = 64 };
enum { ACCEPT_WINDOW = 512 };  // Connections not yet accepted; a full backlog costs a 1 s retry.
enum { TICK_US = 100000, SETUP_LIMIT_S = 30 };
#define NS_PER_S INT64_C(1000000000)

struct tuple {
  uint16_t local_port, peer_port;  // Both addresses are 127.0.0.1.
};

// All that the two processes share. The stamps lie in separate arrays, one writer each, so that
// the victim's stores do not take away the cache line the survivor is about to store to.
static struct table {
  _Atomic int64_t listener_port, accepted_count, connected, armed, last_issued_ns;
  struct tuple victim_tuple[CONNECTIONS_MAX], survivor_tuple[CONNECTIONS_MAX];
  _Alignas(4096) int64_t issued_ns[CONNECTIONS_MAX];
  _Alignas(4096) int64_t found_ns[CONNECTIONS_MAX];
} * table;

static struct {
  const char *schedule, *wait, *format;
  int connections, victim_cpu, survivor_cpu;
  int64_t rate_per_s, deadline_ms;  // Rate 0: storm.
  bool block, host_network;
} options = {"storm", "spin", "json", .connections = 10000, .deadline_ms = 5000};

static pid_t victim_pid;  // 0 in the victim.
static bool cubic_per_socket;
static volatile sig_atomic_t ticked;

__attribute__((noreturn, format(printf, 2, 3))) static void die(int code, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  for (char* c = text; *c; c++)
    if (*c < ' ' || *c > '~') *c = '?';  // Options are printed as harmless text.
  fprintf(stderr, "floor: %s\n", text);
  exit(code);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int check(int result, const char* what) {
  if (result < 0) die(EXIT_FAILED, "%s: %s", what, strerror(errno));
  return result;
}

// The same for liburing, which returns -errno.
static void check_ring(int result, const char* what) {
  if (result < 0) die(EXIT_FAILED, "%s: %s", what, strerror(-result));
}

static void check_limit(int64_t limit_ns, const char* what) {
  if (now_ns() > limit_ns) die(EXIT_DEADLINE, "deadline passed: %s", what);
}

// In the survivor: a victim that ends by itself has failed.
static void check_victim(void) {
  int status;
  if (victim_pid == 0 || waitpid(victim_pid, &status, WNOHANG) != victim_pid) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) exit(WEXITSTATUS(status));  // It said why.
  die(EXIT_FAILED, "the victim process ended early");
}

static void wait_at_least(_Atomic int64_t* value, int64_t minimum, const char* what) {
  int64_t limit_ns = now_ns() + SETUP_LIMIT_S * NS_PER_S;
  while (atomic_load(value) < minimum) {
    check_victim();
    check_limit(limit_ns, what);
    usleep(200);
  }
}

static int write_file(const char* path, const char* text) {
  int fd = check(open(path, O_WRONLY | O_CLOEXEC), path);
  int result = write(fd, text, strlen(text)), write_errno = errno;
  close(fd);
  errno = write_errno;
  return result;
}

// A network namespace of our own keeps other traffic, firewall rules and tuned settings out.
static void enter_private_network(void) {
  char user_map[32], group_map[32];
  snprintf(user_map, sizeof(user_map), "0 %u 1", getuid());
  snprintf(group_map, sizeof(group_map), "0 %u 1", getgid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
    fprintf(stderr, "floor: no private network (%s), using the host's\n", strerror(errno));
    return;
  }
  check(write_file("/proc/self/setgroups", "deny"), "setgroups");  // Or gid_map is refused.
  check(write_file("/proc/self/uid_map", user_map), "uid_map");
  check(write_file("/proc/self/gid_map", group_map), "gid_map");

  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  check(ioctl(fd, SIOCSIFFLAGS, &loopback), "bring up lo");
  close(fd);
  check(write_file("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535"), "ip_local_port_range");
  // Where the host does not list cubic as allowed, no other namespace may make it the default, but
  // its administrator (we are) may still choose it socket by socket.
  cubic_per_socket = write_file("/proc/sys/net/ipv4/tcp_congestion_control", "cubic") < 0;
}

static int open_socket(void) {
  int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  if (cubic_per_socket)  // An accepted socket takes it over from its listener.
    check(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5), "TCP_CONGESTION");
  return fd;
}

static struct tuple read_tuple(int fd) {
  struct sockaddr_in local, peer;
  socklen_t local_size = sizeof(local), peer_size = sizeof(peer);
  check(getsockname(fd, (struct sockaddr*)&local, &local_size), "getsockname");
  check(getpeername(fd, (struct sockaddr*)&peer, &peer_size), "getpeername");
  return (struct tuple){ntohs(local.sin_port), ntohs(peer.sin_port)};
}

static void pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  check(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void open_ring(struct io_uring* ring, unsigned submissions, unsigned completions) {
  struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                                            IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                   .cq_entries = completions};
  check_ring(io_uring_queue_init_params(submissions, ring, &params), "io_uring_queue_init_params");
}

// One look at the completion queue. With DEFER_TASKRUN the kernel only raises a flag when there is
// work, and completions appear once we enter it.
static unsigned reap(struct io_uring* ring, bool block, struct io_uring_cqe** cqes, unsigned size) {
  if (io_uring_cq_ready(ring) == 0) {
    if (!block && !(IO_URING_READ_ONCE(*ring->sq.kflags) & IORING_SQ_TASKRUN)) return 0;
    int result = block ? io_uring_submit_and_wait(ring, 1) : io_uring_get_events(ring);
    if (result != -EINTR) check_ring(result, "io_uring_enter");
  }
  return io_uring_peek_batch_cqe(ring, cqes, size);
}

static void run_victim(void) {
  static int fds[CONNECTIONS_MAX];
  struct io_uring ring;
  pin_to_cpu(options.victim_cpu);
  memset(table->issued_ns, 0, sizeof(table->issued_ns));  // No page faults once it counts.
  open_ring(&ring, 8, 16);

  wait_at_least(&table->listener_port, 1, "no listener");
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(atomic_load(&table->listener_port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  struct timeval timeout = {.tv_sec = SETUP_LIMIT_S};  // Bounds connect().
  for (int i = 0; i < options.connections; i++) {
    wait_at_least(&table->accepted_count, i - ACCEPT_WINDOW, "connections not accepted");
    int fd = fds[i] = open_socket();
    check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), "SO_SNDTIMEO");
    check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "SO_LINGER");
    check(connect(fd, (struct sockaddr*)&address, sizeof(address)), "connect");
    table->victim_tuple[i] = read_tuple(fd);
  }
  atomic_store(&table->connected, 1);
  wait_at_least(&table->armed, 1, "survivor not armed");

  int64_t start_ns = now_ns() + NS_PER_S / 100, issued_ns = 0;  // The survivor is in its loop then.
  for (int i = 0; i < options.connections; i++) {
    struct io_uring_cqe* cqe;
    int64_t due_ns = start_ns + (options.rate_per_s ? i * NS_PER_S / options.rate_per_s : 0);
    io_uring_prep_close(io_uring_get_sqe(&ring), fds[i]);
    while ((issued_ns = now_ns()) < due_ns) continue;
    table->issued_ns[i] = issued_ns;
    check_ring(io_uring_submit(&ring), "io_uring_submit");
    while (reap(&ring, false, &cqe, 1) == 0)
      check_limit(issued_ns + options.deadline_ms * 1000000, "close not completed");
    check_ring(cqe->res, "close");
    io_uring_cqe_seen(&ring, cqe);
  }
  atomic_store(&table->last_issued_ns, issued_ns);
  for (;;) pause();  // The survivor ends us when it is done; exiting now would disturb it.
}

static void on_tick(int signal_number) { ticked = signal_number; }

// Establishes every connection, so that fds[i] is the other end of the victim's i-th.
static void accept_all(int* fds) {
  static int accepted_fds[CONNECTIONS_MAX], index_by_port[UINT16_MAX + 1];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = open_socket();
  check(bind(listener, (struct sockaddr*)&address, sizeof(address)), "bind");
  check(listen(listener, LISTEN_BACKLOG), "listen");
  socklen_t address_size = sizeof(address);
  check(getsockname(listener, (struct sockaddr*)&address, &address_size), "getsockname");
  atomic_store(&table->listener_port, ntohs(address.sin_port));

  int64_t limit_ns = now_ns() + SETUP_LIMIT_S * NS_PER_S;
  for (int i = 0; i < options.connections;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 && errno == EINTR) {  // A tick.
      check_victim();
      check_limit(limit_ns, "connections not established");
      continue;
    }
    accepted_fds[i] = check(fd, "accept");
    table->survivor_tuple[i] = read_tuple(fd);
    atomic_store(&table->accepted_count, ++i);
  }
  wait_at_least(&table->connected, 1, "victim not connected");
  close(listener);

  // The victim's port names the connection: the rest of the 4-tuple is common to all.
  memset(index_by_port, -1, sizeof(index_by_port));
  for (int i = 0; i < options.connections; i++)
    index_by_port[table->victim_tuple[i].local_port] = i;
  for (int i = 0; i < options.connections; i++) {
    struct tuple tuple = table->survivor_tuple[i];
    int index = index_by_port[tuple.peer_port];
    if (index < 0 || table->victim_tuple[index].peer_port != tuple.local_port)
      die(EXIT_FAILED, "no pair for the connection from port %u", tuple.peer_port);
    fds[index] = accepted_fds[i];
  }
}

// Returns the number of completions that were not a reset.
static int run_survivor(void) {
  static int fds[CONNECTIONS_MAX];
  static char scratch[64];  // Shared by all receives: no data ever comes.
  struct io_uring_cqe* cqes[REAP_BATCH];
  struct io_uring ring;
  int count = options.connections, completed = 0, unexpected = 0;
  pin_to_cpu(options.survivor_cpu);
  memset(table->found_ns, 0, sizeof(table->found_ns));  // No page faults once it counts.

  // The tick interrupts whatever blocks (hence no SA_RESTART) and spares the spin a clock to watch.
  struct sigaction action = {.sa_handler = on_tick};
  struct itimerval timer = {{0, TICK_US}, {0, TICK_US}};
  check(sigaction(SIGALRM, &action, NULL), "sigaction");
  check(setitimer(ITIMER_REAL, &timer, NULL), "setitimer");
  accept_all(fds);

  // Every receive may complete at once, so the completion queue has room for them all.
  open_ring(&ring, SUBMISSION_ENTRIES, 2 * (count + SUBMISSION_ENTRIES));
  for (int i = 0; i < count; i++) {
    struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    io_uring_prep_recv(sqe, fds[i], scratch, sizeof(scratch), 0);
    io_uring_sqe_set_data64(sqe, i);
    if (i == count - 1 || io_uring_sq_space_left(&ring) == 0)
      check_ring(io_uring_submit(&ring), "io_uring_submit");
  }
  if (io_uring_sq_ready(&ring) != 0) die(EXIT_FAILED, "not every receive was armed");
  atomic_store(&table->armed, 1);

  while (completed < count) {
    unsigned reaped = reap(&ring, options.block, cqes, REAP_BATCH);
    if (reaped > 0) {
      int64_t found_ns = now_ns();
      for (unsigned i = 0; i < reaped; i++) {
        if (cqes[i]->res == -ECONNRESET)
          table->found_ns[cqes[i]->user_data] = found_ns;
        else
          unexpected++;
      }
      io_uring_cq_advance(&ring, reaped);
      completed += reaped;
    } else if (ticked) {
      ticked = 0;
      check_victim();  // The bound until the last injection: the victim's own loop has one.
      int64_t last_issued_ns = atomic_load(&table->last_issued_ns);
      if (last_issued_ns != 0 && now_ns() > last_issued_ns + options.deadline_ms * 1000000)
        die(EXIT_DEADLINE, "deadline passed: %d of %d completions", completed, count);
    }
  }
  wait_at_least(&table->last_issued_ns, 1, "victim not done");  // It checks its last close.
  return unexpected;
}

static int compare(const void* left, const void* right) {
  int64_t a = *(const int64_t*)left, b = *(const int64_t*)right;
  return (a > b) - (a < b);
}

static void report(int unexpected) {
  static const struct {
    const char* name;
    int per_mille;
  } ranks[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}, {"max", 1000}};
  static int64_t latency_ns[CONNECTIONS_MAX];
  int64_t last_found_ns = 0, sum_ns = 0;
  int found = 0;
  for (int i = 0; i < options.connections; i++) {
    if (table->found_ns[i] == 0) continue;
    sum_ns += latency_ns[found++] = table->found_ns[i] - table->issued_ns[i];
    if (table->found_ns[i] > last_found_ns) last_found_ns = table->found_ns[i];
  }
  qsort(latency_ns, found, sizeof(latency_ns[0]), compare);
  printf("{\"connections\":%d,\"schedule\":\"%s\",\"wait\":\"%s\",\"found\":%d,\"unexpected\":%d,",
         options.connections, options.schedule, options.wait, found, unexpected);
  if (found == 0) {
    printf("\"latency_ns\":null,\"span_ns\":null}\n");
    return;
  }
  printf("\"latency_ns\":{\"min\":%" PRId64, latency_ns[0]);
  for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++)  // Rank ceil(p * found), from 1.
    printf(",\"%s\":%" PRId64, ranks[i].name,
           latency_ns[(ranks[i].per_mille * found + 999) / 1000 - 1]);
  printf(",\"mean\":%.1f},\"span_ns\":%" PRId64 "}\n", (double)sum_ns / found,
         last_found_ns - table->issued_ns[0]);
}

static int64_t parse_number(const char* name, const char* text, int64_t minimum, int64_t maximum) {
  char* end;
  int64_t value = strtoll(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || value < minimum || value > maximum)
    die(EXIT_USAGE, "%s takes a whole number from %" PRId64 " to %" PRId64 ", not '%s'", name,
        minimum, maximum, text);
  return value;
}

// Returns whether the text is the second choice; it must be one of the two.
static bool parse_choice(const char* name, const char* text, const char* first, const char* other) {
  if (strcmp(text, first) != 0 && strcmp(text, other) != 0)
    die(EXIT_USAGE, "%s takes %s or %s, not '%s'", name, first, other, text);
  return strcmp(text, other) == 0;
}

static void parse_options(int argc, char** argv) {
  static const struct option known[] = {
      {"connections", 1, NULL, 'n'},  {"schedule", 1, NULL, 's'},    {"wait", 1, NULL, 'w'},
      {"format", 1, NULL, 'f'},       {"victim-cpu", 1, NULL, 'v'},  {"survivor-cpu", 1, NULL, 'u'},
      {"host-network", 0, NULL, 'h'}, {"deadline-ms", 1, NULL, 'd'}, {0}};
  int last_cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1, option;
  options.survivor_cpu = last_cpu;
  opterr = 0;  // One line of our own instead.
  while ((option = getopt_long_only(argc, argv, "", known, NULL)) != -1) {
    if (option == '?') die(EXIT_USAGE, "bad option or missing value: %s", argv[optind - 1]);
    if (option == 'n')
      options.connections = parse_number("--connections", optarg, 1, CONNECTIONS_MAX);
    if (option == 's') options.schedule = optarg;
    if (option == 'w') options.wait = optarg;
    if (option == 'f') options.format = optarg;
    if (option == 'v') options.victim_cpu = parse_number("--victim-cpu", optarg, 0, last_cpu);
    if (option == 'u') options.survivor_cpu = parse_number("--survivor-cpu", optarg, 0, last_cpu);
    if (option == 'h') options.host_network = true;
    if (option == 'd') options.deadline_ms = parse_number("--deadline-ms", optarg, 1, 3600000);
  }
  if (optind < argc) die(EXIT_USAGE, "unexpected argument '%s'", argv[optind]);
  if (strncmp(options.schedule, "rate=", 5) == 0)
    options.rate_per_s = parse_number("--schedule rate=", options.schedule + 5, 1, 1000000);
  else
    parse_choice("--schedule", options.schedule, "storm", "rate=R");
  options.block = parse_choice("--wait", options.wait, "spin", "block");
  if (strcmp(options.format, "json") != 0)
    die(EXIT_USAGE, "--format takes json, not '%s'", options.format);
}

int main(int argc, char** argv) {
  int held = 0;  // So that no socket becomes a standard descriptor that is closed.
  while (held >= 0 && held <= STDERR_FILENO) held = open("/", O_PATH);
  if (held >= 0) close(held);
  setlinebuf(stderr);  // Two processes write to it.
  parse_options(argc, argv);
  struct rlimit limit;
  check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  if (limit.rlim_max < (rlim_t)options.connections + 16)
    die(EXIT_FAILED, "the hard limit of %ju descriptors is too low", (uintmax_t)limit.rlim_max);
  if (!options.host_network) enter_private_network();
  table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) die(EXIT_FAILED, "mmap: %s", strerror(errno));

  pid_t survivor_pid = getpid();
  victim_pid = check(fork(), "fork");
  if (victim_pid == 0) {
    check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
    if (getppid() != survivor_pid) exit(EXIT_FAILED);  // It died before the line above.
    run_victim();
  }
  int unexpected = run_survivor();
  kill(victim_pid, SIGKILL);
  waitpid(victim_pid, NULL, 0);
  report(unexpected);
  if (fflush(stdout) != 0) die(EXIT_FAILED, "stdout: %s", strerror(errno));
  return unexpected == 0 ? EXIT_SUCCESS : EXIT_FAILED;
}
