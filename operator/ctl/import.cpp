#include "operator/ctl/import.hpp"

#include <fstream>
#include <iterator>
#include <ostream>

#include "operator/ctl/commands.hpp"
#include "operator/migrate/migrate.hpp"

namespace dbproxy::ctl {

int import(const ImportOptions& options, std::istream& in, std::ostream& out, std::ostream& errors) {
  std::vector<migrate::Document> documents;
  for (const auto& file : options.files) {
    migrate::Document document{.name = file == "-" ? "the input" : file, .text = {}};
    std::ifstream stream;
    if (file != "-") {
      stream.open(file, std::ios::binary);
      if (!stream) {
        errors << "error: " << file << " cannot be read\n";
        return kUsage;
      }
    }
    std::istream& from = file == "-" ? in : stream;
    document.text.assign(std::istreambuf_iterator<char>(from), {});
    documents.push_back(std::move(document));
  }
  const migrate::Options as{.name_space = options.name_space};
  migrate::Result result;
  if (options.from == "pgbouncer") {
    if (documents.size() != 1) {
      errors << "error: one pgbouncer.ini at a time\n";
      return kUsage;
    }
    result = migrate::from_pgbouncer(documents.front(), as);
  } else {
    result = migrate::from_rds_proxy(documents, as);
  }
  if (!result.error.empty()) {
    errors << "error: " << result.error << "\n";
    return kRefused;
  }
  out << result.manifests;
  for (const auto& each : result.to_do) errors << "to do: " << each << "\n";
  return kOk;
}

}  // namespace dbproxy::ctl
