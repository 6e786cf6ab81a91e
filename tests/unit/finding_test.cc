// What the survivors' calls said against what they mean, for every kernel's way of saying it.
#include "model/finding.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>

#include "../named_case.h"

namespace lastack {
namespace {

constexpr uint16_t kFinEvents = POLLIN | POLLOUT | POLLRDHUP;
constexpr uint16_t kResetEvents = kFinEvents | POLLERR | POLLHUP;

struct Case {
  const char* name;
  Evidence evidence;
  Finding finding;
  int error_number;
};

using cases::PrintTo;

class Classify : public testing::TestWithParam<Case> {};

TEST_P(Classify, Decides) {
  const Classified classified = classify(GetParam().evidence);
  EXPECT_EQ(finding_row(classified.finding).name, finding_row(GetParam().finding).name);
  EXPECT_EQ(classified.error_number, GetParam().error_number);
}

// close(), exit(), SIGKILL with nothing unread.
INSTANTIATE_TEST_SUITE_P(
    AFin, Classify,
    testing::Values(
        Case{"ReadOfZero", {.read_eof = true, .tcp_state = kTcpCloseWait}, Finding::eof, 0},
        Case{"ReadOfZeroAlone", {.read_eof = true}, Finding::eof, 0},
        Case{"PollAndReadOfZero",
             {.read_eof = true, .poll_events = kFinEvents, .tcp_state = kTcpCloseWait},
             Finding::eof,
             0},
        Case{"PollAlone", {.poll_events = kFinEvents}, Finding::eof, 0},
        Case{"RdhupBitAlone", {.poll_events = POLLRDHUP}, Finding::eof, 0}),
    cases::by_name);

// SO_LINGER {1,0}, unread data, connect(AF_UNSPEC), SOCK_DESTROY.
INSTANTIATE_TEST_SUITE_P(
    AReset, Classify,
    testing::Values(
        Case{"ReadError", {.read_error = ECONNRESET}, Finding::econnreset, ECONNRESET},
        Case{"SocketError", {.socket_error = ECONNRESET}, Finding::econnreset, ECONNRESET},
        Case{"WriteError", {.write_error = ECONNRESET}, Finding::econnreset, ECONNRESET},
        // The first call took ECONNRESET, the next ones get 0 and EPIPE.
        Case{"ReadErrorThenReadOfZero",
             {.read_eof = true,
              .read_error = ECONNRESET,
              .poll_events = kResetEvents,
              .tcp_state = kTcpClose},
             Finding::econnreset,
             ECONNRESET},
        Case{"ReadAndWriteArmedOnLinux61",
             {.read_error = ECONNRESET, .write_error = EPIPE, .tcp_state = kTcpClose},
             Finding::econnreset,
             ECONNRESET},
        Case{"ReadAndWriteArmedOnLinux612",
             {.read_eof = true, .write_error = ECONNRESET, .tcp_state = kTcpClose},
             Finding::econnreset,
             ECONNRESET},
        Case{"SocketErrorTakenThenBrokenPipe",
             {.read_eof = true, .write_error = EPIPE, .socket_error = ECONNRESET},
             Finding::econnreset,
             ECONNRESET}),
    cases::by_name);

// The errno went to a call that nobody recorded; what lasts is the state and POLLHUP.
INSTANTIATE_TEST_SUITE_P(
    AResetWithoutItsError, Classify,
    testing::Values(Case{"ReadOfZeroInStateClose",
                         {.read_eof = true, .tcp_state = kTcpClose},
                         Finding::econnreset,
                         0},
                    Case{"ReadOfZeroAndHangUp",
                         {.read_eof = true, .poll_events = kResetEvents},
                         Finding::econnreset,
                         0},
                    Case{"PollAlone", {.poll_events = kResetEvents}, Finding::econnreset, 0},
                    Case{"HangUpBitAlone", {.poll_events = POLLHUP}, Finding::econnreset, 0}),
    cases::by_name);

// close(), then the survivor sent: a FIN, then an RST.
INSTANTIATE_TEST_SUITE_P(
    AFinThenAReset, Classify,
    testing::Values(Case{"SocketError",
                         {.read_eof = true, .socket_error = EPIPE, .tcp_state = kTcpClose},
                         Finding::epipe,
                         EPIPE},
                    Case{"WriteError",
                         {.read_eof = true, .write_error = EPIPE, .tcp_state = kTcpClose},
                         Finding::epipe,
                         EPIPE},
                    Case{"WriteErrorAlone", {.write_error = EPIPE}, Finding::epipe, EPIPE},
                    Case{"PollAndSocketError",
                         {.read_eof = true,
                          .socket_error = EPIPE,
                          .poll_events = kResetEvents,
                          .tcp_state = kTcpClose},
                         Finding::epipe,
                         EPIPE}),
    cases::by_name);

INSTANTIATE_TEST_SUITE_P(
    ATimeout, Classify,
    testing::Values(Case{"ReadError",
                         {.read_error = ETIMEDOUT, .tcp_state = kTcpClose},
                         Finding::etimedout,
                         ETIMEDOUT},
                    Case{"WriteError", {.write_error = ETIMEDOUT}, Finding::etimedout, ETIMEDOUT},
                    Case{"PollAndSocketError",
                         {.read_eof = true, .socket_error = ETIMEDOUT, .poll_events = kResetEvents},
                         Finding::etimedout,
                         ETIMEDOUT},
                    Case{"WriteGetsItAndReadGetsZero",
                         {.read_eof = true, .write_error = ETIMEDOUT, .tcp_state = kTcpClose},
                         Finding::etimedout,
                         ETIMEDOUT},
                    Case{"ReadGetsItAndWriteGetsBrokenPipe",
                         {.read_error = ETIMEDOUT, .write_error = EPIPE, .tcp_state = kTcpClose},
                         Finding::etimedout,
                         ETIMEDOUT}),
    cases::by_name);

// A host that rebooted and is not asked, a dropped path, a frozen process.
INSTANTIATE_TEST_SUITE_P(
    Silence, Classify,
    testing::Values(Case{"NoEvidence", {}, Finding::nothing, 0},
                    Case{"StillEstablished", {.tcp_state = kTcpEstablished}, Finding::nothing, 0},
                    Case{"WritableOnly", {.poll_events = POLLOUT}, Finding::nothing, 0},
                    Case{"DataOnly", {.poll_events = POLLIN | POLLOUT}, Finding::nothing, 0},
                    // The state alone was told to no call: the survivor has not learned of it.
                    Case{"StateCloseAlone", {.tcp_state = kTcpClose}, Finding::nothing, 0}),
    cases::by_name);

INSTANTIATE_TEST_SUITE_P(
    AnErrorThatNoRowExpects, Classify,
    testing::Values(Case{"ReadError", {.read_error = ENOBUFS}, Finding::other, ENOBUFS},
                    Case{"ReadErrorAndBrokenPipe",
                         {.read_error = ENETUNREACH, .write_error = EPIPE},
                         Finding::other,
                         ENETUNREACH},
                    Case{"BrokenPipeAndSocketError",
                         {.read_eof = true, .write_error = EPIPE, .socket_error = ENETUNREACH},
                         Finding::other,
                         ENETUNREACH},
                    // A reset says more than a trouble beside it.
                    Case{"ReadErrorAndReset",
                         {.read_error = ENOBUFS, .socket_error = ECONNRESET},
                         Finding::econnreset,
                         ECONNRESET}),
    cases::by_name);

TEST(NamedCase, IsPrintedByItsName) {
  EXPECT_EQ(testing::PrintToString(Case{"ReadError", {}, Finding::nothing, 0}), "ReadError");
}

TEST(FindingTable, ErrorsAreTheOnesThatTheKernelGives) {
  EXPECT_EQ(finding_row(Finding::nothing).error_number, 0);
  EXPECT_EQ(finding_row(Finding::eof).error_number, 0);
  EXPECT_EQ(finding_row(Finding::econnreset).error_number, ECONNRESET);
  EXPECT_EQ(finding_row(Finding::epipe).error_number, EPIPE);
  EXPECT_EQ(finding_row(Finding::etimedout).error_number, ETIMEDOUT);
}

}  // namespace
}  // namespace lastack
