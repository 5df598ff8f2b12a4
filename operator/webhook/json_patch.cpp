#include "operator/webhook/json_patch.hpp"

#include <charconv>

namespace dbproxy::webhook {
namespace {

std::string unescaped(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size()) {
      out += token[++i] == '1' ? '/' : '~';
    } else {
      out += token[i];
    }
  }
  return out;
}

// The index that a token names in an array of this size, or more than the size.
std::size_t index_of(std::string_view token, std::size_t size) {
  if (token == "-") return size;
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  return error == std::errc() && end == token.data() + token.size() ? index : size + 1;
}

json::value* child(json::value& parent, const std::string& token) {
  if (auto* object = parent.if_object()) return object->if_contains(token);
  if (auto* array = parent.if_array()) {
    const std::size_t index = index_of(token, array->size());
    return index < array->size() ? &(*array)[index] : nullptr;
  }
  return nullptr;
}

bool add_to(json::value& parent, const std::string& token, const json::value& value) {
  if (auto* object = parent.if_object()) {
    (*object)[token] = value;
    return true;
  }
  auto* array = parent.if_array();
  if (array == nullptr) return false;
  const std::size_t index = index_of(token, array->size());
  if (index > array->size()) return false;
  array->insert(array->begin() + static_cast<std::ptrdiff_t>(index), value);
  return true;
}

}  // namespace

std::string pointer_token(std::string_view name) {
  std::string out;
  for (char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

json::object add_operation(std::string path, json::value value) {
  return {{"op", "add"}, {"path", std::move(path)}, {"value", std::move(value)}};
}

std::string apply_additions(json::value& document, const json::array& patch) {
  for (const json::value& operation : patch) {
    const std::string path(operation.at("path").as_string());
    json::value* at = &document;
    std::size_t start = 1;
    std::size_t slash = path.find('/', start);
    while (at != nullptr && slash != std::string::npos) {
      at = child(*at, unescaped(std::string_view(path).substr(start, slash - start)));
      start = slash + 1;
      slash = path.find('/', start);
    }
    if (at == nullptr || !add_to(*at, unescaped(std::string_view(path).substr(start)), operation.at("value"))) {
      return "cannot add " + path;
    }
  }
  return {};
}

}  // namespace dbproxy::webhook
