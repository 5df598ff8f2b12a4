#include "operator/ctl/inject.hpp"

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <yaml-cpp/yaml.h>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/document.hpp"
#include "operator/ctl/table.hpp"
#include "operator/webhook/pod.hpp"
#include "proxy/manifest/fields.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;
constexpr int kMaxDepth = 64;

// YAML as kubectl reads it; "" or what cannot be told in JSON.
std::string to_value(const YAML::Node& node, json::value& out, int depth = 0) {
  if (depth > kMaxDepth) return "is nested too deeply";
  using manifest::NodeKind;
  const NodeKind kind = manifest::kind_of(node);
  if (kind == NodeKind::kTagged) return "has a YAML tag (it begins with !)";
  if (kind == NodeKind::kMap) {
    json::object& object = out.emplace_object();
    for (const auto& item : node) {
      if (!item.first.IsScalar()) return "has a key that is not a string";
      if (std::string error = to_value(item.second, object[item.first.Scalar()], depth + 1); !error.empty())
        return error;
    }
  } else if (kind == NodeKind::kList) {
    json::array& array = out.emplace_array();
    for (const auto& item : node) {
      if (std::string error = to_value(item, array.emplace_back(nullptr), depth + 1); !error.empty()) return error;
    }
  } else if (kind == NodeKind::kNull) {
    out = nullptr;
  } else if (kind == NodeKind::kBool) {
    const char first = node.Scalar()[0];
    const char second = node.Scalar()[1];
    out = first == 't' || first == 'T' || first == 'y' || first == 'Y' ||
          ((first == 'o' || first == 'O') && (second == 'n' || second == 'N'));
  } else if (kind == NodeKind::kInteger) {
    std::int64_t number = 0;
    const std::string& text = node.Scalar();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) {
      out = number;
    } else {
      boost::system::error_code wrong;
      out = json::parse(text, wrong);
      if (wrong) out = node.as<double>();
    }
  } else if (kind == NodeKind::kFloat) {
    out = node.as<double>();
  } else {
    out = std::string_view(node.Scalar());
  }
  return {};
}

// The pod in an object, as a copy with metadata and spec; `path` is where it stands. None: there is no pod in it.
json::value* pod_in(json::value& object) {
  const std::string kind = text_at(object, "/kind");
  if (kind == "Pod") return &object;
  boost::system::error_code error;
  if (kind == "CronJob") return object.find_pointer("/spec/jobTemplate/spec/template", error);
  for (const char* each : {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}) {
    if (kind == each) return object.find_pointer("/spec/template", error);
  }
  return nullptr;
}

class Injector {
 public:
  Injector(const InjectOptions& options, std::ostream& err) : options_(options), err_(err) {}

  bool read(std::istream& in) {
    for (const std::string& file : options_.files) {
      std::ifstream opened;
      if (file != "-") {
        opened.open(file);
        if (!opened) return fail(file + ": cannot be read");
      }
      std::istream& from = file == "-" ? in : opened;
      const std::string text(std::istreambuf_iterator<char>(from), {});
      try {
        for (const YAML::Node& node : YAML::LoadAll(text)) {
          json::value value;
          if (const std::string error = to_value(node, value); !error.empty()) return fail(file + ": " + error);
          if (!add(value)) return fail(file + ": holds something that is not an object");
        }
      } catch (const YAML::Exception& error) {
        return fail(file + ": is not YAML: " + std::string(error.what()));
      }
      sources_.push_back({file, text});
    }
    return true;
  }

  // DBProxies are looked for beside the workloads; what else the loader says there is not our concern.
  bool load() {
    manifests_ =
        options_.manifests.empty() ? manifest::load_sources(sources_) : manifest::load_directory(options_.manifests);
    if (options_.manifests.empty() || manifests_.ok()) return true;
    for (const auto& each : manifests_.diagnostics) err_ << manifest::to_text(each) << "\n";
    return fail("the manifests have errors");
  }

  bool inject_all() {
    bool good = true;
    for (json::value& object : objects_) {
      json::value* pod = pod_in(object);
      if (pod == nullptr || !pod->is_object()) continue;
      std::string name_space = text_at(object, "/metadata/namespace");
      if (name_space.empty()) name_space = options_.name_space;
      const auto find = [&](const std::string& space, const std::string& name, std::string&) {
        return webhook::find_in(manifests_, space, name);
      };
      const webhook::Decision decision = webhook::inject(pod->get_object(), name_space, options_.settings, find);
      const std::string who = printable(text_at(object, "/kind") + " " + text_at(object, "/metadata/name"));
      for (const std::string& warning : decision.warnings) err_ << "warning: " << who << ": " << warning << "\n";
      if (decision.kind == webhook::Decision::Kind::kRefuse) {
        good = fail(who + ": " + decision.reason);
      } else if (decision.kind == webhook::Decision::Kind::kNothing) {
        err_ << "note: " << who << ": " << decision.reason << "\n";
      } else if (const std::string error = webhook::apply_additions(*pod, decision.patch); !error.empty()) {
        good = fail(who + ": " + error);
      }
    }
    return good;
  }

  void print(std::ostream& out) const {
    bool first = true;
    for (const json::value& object : objects_) {
      out << (first ? "" : "---\n") << to_yaml(object);
      first = false;
    }
  }

 private:
  bool fail(const std::string& sentence) {
    err_ << "error: " << sentence << "\n";
    return false;
  }

  bool add(json::value& value) {
    if (value.is_null()) return true;
    if (!value.is_object()) return false;
    if (text_at(value, "/kind") == "List" && value.get_object().contains("items")) {
      for (const json::value& item : array_at(value, "/items")) {
        if (!item.is_object()) return false;
        objects_.push_back(item);
      }
      return true;
    }
    objects_.push_back(std::move(value));
    return true;
  }

  const InjectOptions& options_;
  std::ostream& err_;
  std::vector<manifest::Source> sources_;
  std::vector<json::value> objects_;
  manifest::Manifests manifests_;
};

}  // namespace

int inject(const InjectOptions& options, std::istream& in, std::ostream& out, std::ostream& err) {
  Injector injector(options, err);
  if (!injector.read(in) || !injector.load()) return kUsage;
  if (!injector.inject_all()) return kRefused;
  injector.print(out);
  return kOk;
}

}  // namespace dbproxy::ctl
