#include "operator/kubernetes_mode/references.hpp"

#include <openssl/crypto.h>

#include "operator/kubernetes/objects.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using kubernetes::Resource;

Resource resource_of(const std::string& kind) {
  return {"", "v1", kind == "Secret" ? "secrets" : "configmaps"};
}

json::object trim(json::object object) {
  json::object metadata;
  for (const char* name : {"namespace", "name", "uid", "resourceVersion"}) {
    metadata[name] = kubernetes::text_at(object, {"metadata", name});
  }
  return {{"metadata", std::move(metadata)}};
}

// JSON's copies of values outlive nothing: wiped once they are serialised.
void wipe(json::object& object) {
  if (json::value* data = object.if_contains("data"); data != nullptr && data->is_object()) {
    for (auto& [key, value] : data->get_object()) {
      if (json::string* text = value.if_string()) OPENSSL_cleanse(text->data(), text->size());
    }
  }
}

}  // namespace

References::References(kubernetes::Client& client, Changed changed) : client_(client), changed_(std::move(changed)) {}

References::~References() {
  stop();
}

void References::stop() {
  canceller_.cancel();
  for (Watches* watches : {&secrets_, &config_maps_}) {
    for (const auto& [name, watch] : *watches) watch->stop();
  }
}

References::Found References::get(const std::string& kind, const std::string& name_space, const std::string& name) {
  Watches& watches = kind == "Secret" ? secrets_ : config_maps_;
  const auto watch = watches.find(name_space);
  Found out;
  if (watch == watches.end() || !watch->second->synced()) {
    out.kind = Found::Kind::kNotYet;
    if (watch == watches.end()) return out;
    out.error = watch->second->last_error();
    if (!out.error.empty()) out.kind = Found::Kind::kFailed;
    return out;
  }
  const std::string key = name_space + "/" + name;
  const kubernetes::ObjectPtr seen = watch->second->store().get(key);
  const std::string kept_key = kind + " " + key;
  if (!seen) {
    kept_.erase(kept_key);
    return out;
  }
  Kept& kept = kept_[kept_key];
  const std::string_view version = kubernetes::resource_version_of(*seen);
  if (!kept.text || kept.version != version) {
    kubernetes::Outcome<json::object> object =
        kubernetes::get(client_, {resource_of(kind), name_space, name}, &canceller_);
    if (object.has_error()) {
      if (object.error().not_found()) return out;
      out.kind = Found::Kind::kFailed;
      out.error = object.error().text();
      return out;
    }
    json::object copy{
        {"apiVersion", "v1"}, {"kind", kind}, {"metadata", json::object{{"namespace", name_space}, {"name", name}}}};
    if (json::value* data = object->if_contains("data")) copy["data"] = *data;
    kept.version = kubernetes::resource_version_of(*object);
    kept.text = std::make_shared<const Secret>(json::serialize(copy));
    wipe(copy);
    wipe(*object);
  }
  out.kind = Found::Kind::kFound;
  out.text = kept.text;
  return out;
}

void References::use(const std::set<std::string>& secrets, const std::set<std::string>& config_maps) {
  use(secrets_, secrets, "Secret");
  use(config_maps_, config_maps, "ConfigMap");
}

void References::use(Watches& watches, const std::set<std::string>& name_spaces, const std::string& kind) {
  for (auto each = watches.begin(); each != watches.end();) {
    if (name_spaces.contains(each->first)) {
      ++each;
      continue;
    }
    const std::string prefix = kind + " " + each->first + "/";
    std::erase_if(kept_, [&](const auto& kept) { return kept.first.rfind(prefix, 0) == 0; });
    each->second->stop();
    const std::lock_guard lock(mutex_);
    each = watches.erase(each);
  }
  for (const std::string& name_space : name_spaces) {
    if (watches.contains(name_space)) continue;
    kubernetes::ReflectorOptions options;
    options.resource = resource_of(kind);
    options.name_space = name_space;
    options.metadata_only = true;
    options.trim = trim;
    auto watch = std::make_unique<kubernetes::Reflector>(
        client_, std::move(options), [this, kind](const kubernetes::Change& change) { changed_(kind, change.key); });
    watch->start();
    const std::lock_guard lock(mutex_);
    watches.emplace(name_space, std::move(watch));
  }
}

References::Totals References::totals() const {
  const std::lock_guard lock(mutex_);
  Totals out;
  for (const Watches* watches : {&secrets_, &config_maps_}) {
    for (const auto& [name, watch] : *watches) {
      out.lists += watch->counts().lists;
      out.watches += watch->counts().watches;
      out.expired += watch->counts().expired;
      out.failures += watch->counts().failures;
    }
  }
  return out;
}

}  // namespace dbproxy::kubernetes_mode
