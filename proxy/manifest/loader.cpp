#include "proxy/manifest/loader.hpp"

#include <algorithm>
#include <set>
#include <yaml-cpp/yaml.h>

#include "proxy/manifest/cross_check.hpp"
#include "proxy/manifest/files.hpp"
#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

constexpr std::size_t kMaxDiagnostics = 1000;

struct Document {
  std::string text;
  int first_line = 0;  // lines before it in its file
};

bool is_marker(std::string_view line, std::string_view marker) {
  if (line.substr(0, 3) != marker) return false;
  return line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r';
}

// A line that begins with --- or ... ends a document wherever it stands (YAML 1.2, 9.1.2). Splitting first makes an
// error in one document leave the others readable.
std::vector<Document> split_documents(std::string_view text) {
  std::vector<Document> out;
  Document current;
  bool content = false;  // anything but blank lines, comments and directives
  int line_number = 0;
  auto flush = [&](int next_line) {
    if (content) out.push_back(std::move(current));
    current = {"", next_line};
    content = false;
  };
  for (std::size_t start = 0; start < text.size(); ++line_number) {
    std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = text.substr(start, end - start);
    if (is_marker(line, "---") && content) flush(line_number);
    current.text.append(line).append("\n");
    std::string_view rest = is_marker(line, "---") ? line.substr(3) : line;
    std::size_t first = rest.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && rest[first] != '#' && !(line[0] == '%' && !content)) content = true;
    if (is_marker(line, "...")) {
      if (current.text.size() == line.size() + 1) content = false;
      flush(line_number + 1);
    }
    start = end + 1;
  }
  flush(line_number);
  return out;
}

class Loader {
 public:
  Manifests load(const std::vector<Source>& sources) {
    for (const auto& source : sources) load_file(source);
    cross_check(out_, context_);
    return finish();
  }

  void fail(std::string file, std::string rule, std::string remedy) {
    context_.incomplete = true;
    out_.diagnostics.push_back(
        {std::move(file), 0, 0, "", "", "", std::move(rule), std::move(remedy), Severity::kError});
  }

 private:
  Manifests finish() {
    auto& all = out_.diagnostics;
    std::stable_sort(all.begin(), all.end(), [](const Diagnostic& a, const Diagnostic& b) {
      return a.file != b.file ? a.file < b.file : a.line < b.line;
    });
    if (all.size() > kMaxDiagnostics) {
      std::stable_sort(all.begin(), all.end(),
                       [](const Diagnostic& a, const Diagnostic& b) { return a.severity < b.severity; });
      std::size_t more = all.size() - kMaxDiagnostics;
      all.resize(kMaxDiagnostics);
      all.push_back(
          {all.back().file, 0, 0, "", "", "", "and " + std::to_string(more) + " more", "", all.back().severity});
    }
    return std::move(out_);
  }

  void load_file(const Source& source) {
    if (source.text.size() > kMaxFileBytes) {
      fail(source.name, "is larger than " + std::to_string(kMaxFileBytes >> 20) + " MiB", "split it");
      return;
    }
    std::string_view text = source.text;
    if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);  // byte order mark
    if (!valid_utf8(text)) {
      fail(source.name, "is not UTF-8", "save it as UTF-8");
      return;
    }
    for (const Document& document : split_documents(text)) {
      try {
        load_document(source.name, document, YAML::Load(document.text));
      } catch (const YAML::Exception& error) {
        syntax_error(source.name, document, error);
      }
    }
  }

  void syntax_error(const std::string& file, const Document& document, const YAML::Exception& error) {
    context_.incomplete = true;
    // What yaml-cpp quotes after a colon is the file's own text, which may be a secret.
    std::string what = error.msg.substr(0, error.msg.find(':'));
    // These two come of text that begins with a character of YAML's own.
    bool needs_quotes = what == "unknown token" || what == "the referenced anchor is not defined";
    std::string remedy = needs_quotes ? "put text that begins with one of * & ! % @ ` in quotes"
                                      : "look for indentation, quotes or brackets at this line or above it";
    int line = error.mark.is_null() ? 0 : error.mark.line + 1 + document.first_line;
    int column = error.mark.is_null() ? 0 : error.mark.column + 1;
    out_.diagnostics.push_back({file, line, column, "", "", "", "is not YAML here: " + what, remedy, Severity::kError});
  }

  void load_document(const std::string& file, const Document& document, const YAML::Node& root) {
    if (kind_of(root) == NodeKind::kNull) return;
    Report report(file, document.first_line, out_.diagnostics);
    load_object(report, file, document.first_line, root, "");
  }

  void load_object(Report& report, const std::string& file, int offset, const YAML::Node& root,
                   const std::string& path) {
    int line = report.line_of(root);
    if (kind_of(root) != NodeKind::kMap) {
      report.error(line, path, "", "is " + std::string(describe(kind_of(root))) + ", not an object",
                   "a manifest begins with apiVersion and kind");
      return;
    }
    Fields object(report, root, "", line);
    report.set_line(line);
    bool complete =
        object.require("apiVersion", "write " + std::string(kApiVersion) + ", or v1 for Secret and ConfigMap");
    complete = object.require("kind", "write DBProxy, DBProxyEndpoint, Secret or ConfigMap") && complete;
    if (!complete) {
      context_.incomplete = true;
      return;
    }
    auto version = object.text("apiVersion");
    auto kind = object.text("kind");
    if (!version || !kind) {
      context_.incomplete = true;
      return;
    }
    if (*kind == "List" && *version == "v1" && path.empty()) {
      const YAML::Node items = root["items"];
      if (kind_of(items) != NodeKind::kList) return;
      for (std::size_t i = 0; i < items.size(); ++i) {
        Report own(file, offset, out_.diagnostics);
        load_object(own, file, offset, items[i], "items[" + std::to_string(i) + "]");
      }
      return;
    }
    if (!check_type(object, *version, *kind)) return;
    Metadata metadata = parse_metadata(object, *kind);
    if (*kind == "DBProxy") load<DBProxyResource>(object, *kind, metadata, parse_db_proxy, out_.proxies);
    if (*kind == "DBProxyEndpoint")
      load<DBProxyEndpointResource>(object, *kind, metadata, parse_db_proxy_endpoint, out_.endpoints);
    if (*kind == "Secret") load<SecretResource>(object, *kind, metadata, parse_secret, out_.secrets);
    if (*kind == "ConfigMap") load<ConfigMapResource>(object, *kind, metadata, parse_config_map, out_.config_maps);
  }

  // True for the four kinds that are ours in the version that is ours.
  bool check_type(Fields& object, const std::string& version, const std::string& kind) {
    bool ours = kind == "DBProxy" || kind == "DBProxyEndpoint";
    bool core = kind == "Secret" || kind == "ConfigMap";
    if ((ours && version == kApiVersion) || (core && version == "v1")) return true;
    bool our_group = version.substr(0, version.find('/')) == "dbproxy.io";
    if (ours || (core && our_group)) {
      context_.incomplete = true;
      object.error("apiVersion", in_quotes(version), "is not the version of " + kind,
                   "write " + (core ? "v1" : std::string(kApiVersion)));
    } else if (our_group || !nearest(kind, {"DBProxy", "DBProxyEndpoint"}).empty()) {
      context_.incomplete = true;
      std::string_view near = nearest(kind, {"DBProxy", "DBProxyEndpoint"});
      object.error("kind", in_quotes(kind), "is not a kind of " + std::string(kApiVersion),
                   near.empty() ? "write DBProxy or DBProxyEndpoint" : "did you mean " + std::string(near) + "?");
    } else {
      object.warning("kind", in_quotes(kind) + " of " + in_quotes(version), "is not a kind that dbproxy reads: ignored",
                     "it reads DBProxy, DBProxyEndpoint, Secret and ConfigMap");
    }
    return false;
  }

  Metadata parse_metadata(Fields& object, const std::string& kind) {
    Metadata out;
    out.name.clear();
    object.report().set_object(kind);
    if (!object.require("metadata", "write metadata: {name: …, namespace: …}")) {
      object.ignore("metadata");
      return out;
    }
    auto fields = object.map("metadata");
    if (!fields) return out;
    bool ours = kind == "DBProxy" || kind == "DBProxyEndpoint";
    // Named before it is judged, so that what is wrong with it is reported under its name.
    std::string shown_name = peek(*fields, "name", "?");
    std::string shown_space = peek(*fields, "namespace", "default");
    object.report().set_object(kind + " " + shown_space + "/" + shown_name);
    fields->require("name", "give the object a name");
    auto check_name = [&](std::string_view text) -> std::string {
      if (kind == "DBProxy" && (text == "true" || text == "false")) {
        return "is not allowed: the label dbproxy.io/inject has a meaning of its own for it";
      }
      return ours ? check_dns_label(text) : check_dns_subdomain(text);
    };
    out.name = fields->text("name", {253, check_name}).value_or("");
    out.name_space = fields->text("namespace", {253, check_dns_label}).value_or("default");
    for (auto name : {"labels", "annotations", "generateName", "uid", "resourceVersion", "creationTimestamp",
                      "generation", "managedFields", "finalizers", "ownerReferences", "selfLink", "deletionTimestamp",
                      "deletionGracePeriodSeconds"}) {
      fields->ignore(name);
    }
    fields->finish();
    return out;
  }

  static std::string peek(const Fields& fields, std::string_view name, std::string otherwise) {
    std::string text = fields.raw(name).substr(0, 64);
    return text.empty() || !check_printable(text).empty() ? otherwise : text;
  }

  template <class Resource>
  void load(Fields& object, const std::string& kind, const Metadata& metadata, void (*parse)(Fields&, Resource&),
            std::vector<Resource>& list) {
    Resource resource;
    resource.metadata = metadata;
    object.ignore("apiVersion");
    object.ignore("kind");
    object.ignore("metadata");
    parse(object, resource);
    object.finish();
    resource.metadata.origin = object.report().origin();
    if (metadata.name.empty()) {
      context_.incomplete = true;
      return;
    }
    for (const auto& other : list) {
      if (other.metadata.name != metadata.name || other.metadata.name_space != metadata.name_space) continue;
      const Origin& origin = other.metadata.origin;
      object.error("metadata", "", "is the same object as in " + origin.file + ":" + std::to_string(origin.line),
                   "keep one of the two");
      return;
    }
    if (object.report().errors() > 0) context_.broken.insert(kind + " " + metadata.key());
    list.push_back(std::move(resource));
  }

  Manifests out_;
  CrossContext context_;
};

template <class Objects>
auto find(const Objects& objects, std::string_view name_space, std::string_view name) -> decltype(objects.data()) {
  for (const auto& object : objects) {
    if (object.metadata.name == name && object.metadata.name_space == name_space) return &object;
  }
  return nullptr;
}

}  // namespace

int Origin::line_of(std::string_view field) const {
  for (std::string path(field); !path.empty();) {
    if (auto it = field_lines.find(path); it != field_lines.end()) return it->second;
    std::size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
  return line;
}

const DBProxyResource* Manifests::find_proxy(std::string_view name_space, std::string_view name) const {
  return find(proxies, name_space, name);
}
const SecretResource* Manifests::find_secret(std::string_view name_space, std::string_view name) const {
  return find(secrets, name_space, name);
}
const ConfigMapResource* Manifests::find_config_map(std::string_view name_space, std::string_view name) const {
  return find(config_maps, name_space, name);
}

Manifests load_sources(const std::vector<Source>& sources) {
  Manifests out = Loader().load(sources);
  out.digest = digest(sources);
  return out;
}

namespace {

// Good on Kubernetes; where manifests are files there are neither pods nor accounts.
void warn_of_kubernetes_fields(Manifests& manifests) {
  for (const auto& proxy : manifests.proxies) {
    const auto& origin = proxy.metadata.origin;
    for (const char* field : {"spec.podSelector", "spec.aws.serviceAccountName"}) {
      auto written = origin.field_lines.find(field);
      if (written == origin.field_lines.end()) continue;
      Diagnostic warning;
      warning.file = origin.file;
      warning.line = written->second;
      warning.object = "DBProxy " + proxy.metadata.key();
      warning.field = field;
      warning.rule = "has no effect where manifests are read from files";
      warning.severity = Severity::kWarning;
      manifests.diagnostics.push_back(std::move(warning));
    }
  }
}

}  // namespace

Manifests load_directory(const std::filesystem::path& directory) {
  FileSet files = read_files(directory);
  Loader loader;
  for (const auto& problem : files.problems) loader.fail(problem.name, problem.text, "");
  Manifests out = loader.load(files.sources);
  warn_of_kubernetes_fields(out);
  out.digest = digest(files);
  return out;
}

std::string digest_directory(const std::filesystem::path& directory) {
  return digest(read_files(directory));
}

}  // namespace dbproxy::manifest
