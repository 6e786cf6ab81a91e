#include <memory>

#include "commands/command.h"
#include "report/csv.h"
#include "report/schema.h"
#include "report/text.h"

namespace lastack {
namespace {

int list_command(const std::string& format) {
  if (format == "json")
    print(list_json());
  else if (format == "markdown")
    print(list_markdown());
  else if (format == "schema")
    print(schema_markdown());
  else
    print(list_text());
  return 0;
}

}  // namespace

Action add_list(CLI::App& command) {
  const auto format = std::make_shared<std::string>("text");
  add_format(command, *format, {"text", "json", "markdown", "schema"});
  return [format] { return list_command(*format); };
}

}  // namespace lastack
