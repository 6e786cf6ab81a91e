#include "doctor/doctor.h"

#include <memory>

#include "commands/command.h"
#include "plan/rules.h"
#include "report/text.h"

namespace lastack {
namespace {

int doctor_command(const RunSpec& spec) {
  if (const Status bad = check_spec(spec)) return complain(RunStatus::bad_usage, bad->message());
  const auto examinations = doctor::examine_host(spec);
  print(doctor_text(examinations));
  return doctor::healthy(examinations) ? 0 : exit_code(RunStatus::no_resources);
}

}  // namespace

Action add_doctor(CLI::App& command) {
  const auto spec = std::make_shared<RunSpec>();
  add_parameters(command, *spec);
  return [spec] { return doctor_command(*spec); };
}

}  // namespace lastack
