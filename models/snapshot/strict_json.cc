#include "models/snapshot/strict_json.h"

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;

// Builds a document event by event; returning false stops the parser.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t&) override {
    return Put(value);
  }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Enter(Json::object()); }
  bool start_array(size_t) override { return Enter(Json::array()); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      return Fail(base::Cat("key ", Quoted(name), " occurs twice"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position,
                   const std::string&,
                   const nlohmann::detail::exception& error) override {
    // id 406 is a number beyond double's range.
    return Fail(error.id == 406
                    ? base::Cat("number out of range at byte ", position)
                    : base::Cat("not JSON at byte ", position));
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  bool Put(Json value) {
    *Slot() = std::move(value);
    return true;
  }

  bool Enter(Json container) {
    if (open_.size() == kMaxDepth) {
      return Fail(base::Cat("nested deeper than ", kMaxDepth));
    }
    Json* const slot = Slot();
    *slot = std::move(container);
    open_.push_back(slot);
    return true;
  }

  bool Leave() {
    open_.pop_back();
    return true;
  }

  // Where the next value goes. A pointer into a container stays good while the
  // container is open: nothing is added beside it meanwhile.
  Json* Slot() {
    if (open_.empty()) return &root_;
    if (open_.back()->is_object()) return &(*open_.back())[key_];
    open_.back()->push_back(nullptr);
    return &open_.back()->back();
  }

  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  Json root_ = {};
  std::vector<Json*> open_ = {};
  std::string key_ = {};
  std::string error_ = {};
};

}  // namespace

absl::StatusOr<Json> ParseJsonObject(std::string_view text) {
  Builder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error());
  }
  Json root = builder.TakeRoot();
  if (!root.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return root;
}

}  // namespace spar::models
