#include "proxy/session/postgres/catalog_scan.hpp"

#include <algorithm>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

constexpr std::size_t kColumns = 6;

bool is_word_byte(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '$' || (c & 0x80);
}

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

// Words wherever they stand in a source: in code, strings or comments.
template <class Use>
void each_word(std::string_view body, Use use) {
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t begin = at;
    while (at < body.size() && is_word_byte(body[at])) ++at;
    if (at > begin) use(body.substr(begin, at - begin));
    while (at < body.size() && !is_word_byte(body[at])) ++at;
  }
}

bool changes_schema(std::string_view body) {
  bool found = false;
  each_word(body, [&](std::string_view word) {
    for (const std::string_view known :
         {"create", "alter", "drop", "grant", "revoke", "comment", "refresh", "reindex", "security", "import"})
      found = found || equals_folded(word, known);
  });
  return found;
}

// Digits, a colon, a sign: it is put into the next query.
bool is_fingerprint(std::string_view text) {
  return !text.empty() && text.size() < 100 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == ':' || c == '-'; });
}

}  // namespace

CatalogScan::Node& CatalogScan::node(std::string_view id) {
  return nodes_[std::string(id)];
}

bool CatalogScan::add_row(const std::vector<std::optional<std::string_view>>& columns) {
  if (columns.size() != kColumns || !columns[0] || columns[0]->size() != 1) return false;
  const auto column = [&](std::size_t index) { return columns[index].value_or(std::string_view()); };
  switch (columns[0]->front()) {
    case 'g':
      if (!is_fingerprint(column(3))) return false;
      fingerprint_ = column(3);
      return true;
    case 'd':
      node(column(2)).dependents.emplace_back(column(1));
      return true;
    case 'n': {
      Node& named = node(column(1));
      named.named = true;
      named.name = column(3);
      named.body = column(5);
      named.hazardous = named.hazardous || column(4) == "danger";
      named.definer = named.definer || column(4) == "definer";
      return true;
    }
    case 'x':
      reaches_.push_back({std::string(column(1)), std::string(column(3)), column(4) == "ddl"});
      return true;
    default:
      return false;
  }
}

bool CatalogScan::add_messages(std::string_view messages) {
  std::vector<std::optional<std::string_view>> columns;
  while (!messages.empty()) {
    const auto frame = wire::scan_frame(messages);
    if (frame.scan != wire::Scan::kMessage || frame.type != 'D' || frame.size > messages.size()) return false;
    wire::Reader reader(messages.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
    columns.assign(reader.u16(), std::nullopt);
    if (columns.size() > kColumns) return false;
    for (auto& column : columns) {
      const auto size = reader.u32();
      if (size != ~std::uint32_t{0}) column = reader.bytes(size);
    }
    if (!reader.ok() || !reader.rest().empty() || !add_row(columns)) return false;
    messages.remove_prefix(frame.size);
  }
  return true;
}

CatalogScan::Result CatalogScan::finish() const {
  // Who mentions which name: sources are read once, whatever the number of hazards.
  std::unordered_map<std::string, std::vector<std::string>> ids;  // of each name that can become hazardous
  std::unordered_map<std::string, bool> odd_names;                // with bytes that no word has
  for (const auto& [id, item] : nodes_) {
    if (!item.named) continue;
    auto name = folded(item.name);
    if (!std::all_of(name.begin(), name.end(), is_word_byte)) odd_names[name] = true;
    ids[std::move(name)].push_back(id);
  }
  std::unordered_map<std::string, std::vector<std::string>> mentioned_by;
  for (const auto& [id, item] : nodes_) {
    if (item.body.empty() || item.hazardous) continue;
    const auto note = [&, &id = id](const std::string& name) {
      auto& users = mentioned_by[name];
      if (users.empty() || users.back() != id) users.push_back(id);
    };
    each_word(item.body, [&](std::string_view word) {
      auto name = folded(word);
      if (ids.contains(name)) note(name);
    });
    for (const auto& [name, unused] : odd_names)
      if (contains_folded(item.body, name)) note(name);
  }

  // What each may leave: grows until nothing changes any more.
  struct Leaves {
    std::uint32_t pins = 0;
    std::vector<std::string> settings;
  };
  constexpr std::uint32_t kUnknown = bit(PinReason::kOpaque);
  std::unordered_map<std::string, Leaves> hazardous;
  std::vector<std::string> open;
  const auto mark = [&](const std::string& id, Leaves leaves) {
    auto& known = hazardous[id];
    const auto pins = known.pins;
    const auto count = known.settings.size();
    known.pins |= leaves.pins;
    if (!(known.pins & kUnknown)) {
      for (auto& setting : leaves.settings)
        if (std::find(known.settings.begin(), known.settings.end(), setting) == known.settings.end())
          known.settings.push_back(std::move(setting));
      // What its caller may not set cannot be set for it on another connection; names with a dot anybody may set.
      const auto found = nodes_.find(id);
      const bool definer = found != nodes_.end() && found->second.definer;
      if (known.settings.size() > Verdict::kMaxSettings ||
          (definer && std::any_of(known.settings.begin(), known.settings.end(),
                                  [](const auto& name) { return name.find('.') == std::string::npos; })))
        known.pins |= kUnknown;
    }
    if (known.pins != pins || known.settings.size() != count) open.push_back(id);
  };
  const auto follow = [&] {
    while (!open.empty()) {
      const auto id = std::move(open.back());
      open.pop_back();
      const auto found = nodes_.find(id);
      if (found == nodes_.end()) continue;
      const auto leaves = hazardous[id];
      for (const auto& dependent : found->second.dependents) mark(dependent, leaves);
      if (!found->second.named) continue;
      // All that bear the name: a mention does not tell overloads and schemas apart.
      const auto users = mentioned_by.find(folded(found->second.name));
      if (users == mentioned_by.end()) continue;
      for (const auto& user : users->second) mark(user, leaves);
    }
  };
  const auto of_body = [](std::string_view body) {
    Leaves leaves;
    leaves.pins = body_hazards(body, leaves.settings);
    return leaves;
  };
  mark("b", {kUnknown, {}});
  for (const auto& [id, item] : nodes_) mark(id, item.hazardous ? Leaves{kUnknown, {}} : of_body(item.body));
  follow();

  Result result;
  const auto find_reach = [&](bool ddl) {
    for (const auto& reach : reaches_) {
      const auto found = hazardous.find(reach.function);
      if (reach.ddl == ddl && found != hazardous.end() && found->second.pins != 0) return reach.description;
    }
    return std::string();
  };
  result.ddl = find_reach(true);
  if (!result.ddl.empty()) {
    for (const auto& [id, item] : nodes_)
      if (changes_schema(item.body)) mark(id, {kUnknown, {}});
    follow();
  }
  result.everything = find_reach(false);

  auto set = std::make_shared<HazardSet>();
  for (const auto& [id, leaves] : hazardous) {
    const auto found = nodes_.find(id);
    if (found != nodes_.end() && found->second.named) set->insert(found->second.name, leaves.pins, leaves.settings);
  }
  if (!result.everything.empty()) set->set_everything();
  if (!result.ddl.empty()) set->set_ddl();
  result.hazards = std::move(set);
  return result;
}

}  // namespace dbproxy::session::postgres
