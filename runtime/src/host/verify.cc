#include "host/verify.h"

#include <cstring>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace s2bnn {
namespace {

constexpr char kSchema[] =
#include "host/tflite_schema.inc"
    ;

// A field of a table, or a member of a union; tools/make_schema.py explains the kinds.
struct Field {
  char kind = 0;      // 0 if the schema has none of this number
  size_t size = 0;    // of a scalar
  size_t target = 0;  // the layout of a table or union
};

struct Layout {
  std::string name;
  std::vector<Field> fields;
};

// All layouts; the first one is the model's.
std::vector<Layout> parse_schema() {
  std::vector<Layout> layouts;
  std::map<std::string, size_t> indices;
  const auto index_of = [&](const std::string& name) {
    const auto added = indices.emplace(name, layouts.size());
    if (added.second) layouts.push_back({name, {}});
    return added.first->second;
  };
  std::istringstream words(kSchema);
  size_t layout = 0;
  for (std::string word; words >> word;) {
    const size_t equal = word.find('=');
    if (equal == std::string::npos) {
      layout = index_of(word);
      continue;
    }
    const size_t number = std::stoul(word.substr(0, equal));
    const std::string argument = word.substr(equal + 2);
    Field field;
    field.kind = word[equal + 1];
    if (field.kind == 's' || field.kind == 'v') {
      field.size = std::stoul(argument);
    } else if (field.kind != 'S') {
      field.target = index_of(argument);
    }
    std::vector<Field>& fields = layouts[layout].fields;
    if (fields.size() <= number) fields.resize(number + 1);
    fields[number] = field;
  }
  return layouts;
}

const std::vector<Layout>& schema() {
  static const std::vector<Layout> layouts = parse_schema();
  return layouts;
}

class Verifier {
 public:
  Verifier(const uint8_t* data, size_t size)
      : data_(data), size_(size), budget_(kMaxUnfolding * size + kFreelyUnfolded) {}

  void model() { table(follow(0), 0); }

 private:
  // Files of converters share no parts but vtables. Others may share some, but in a few bytes that
  // unfold without end nobody finds anything to run.
  static constexpr size_t kMaxUnfolding = 16;
  static constexpr size_t kFreelyUnfolded = 1 << 16;

  void visit(size_t position, size_t bytes, size_t alignment) {
    require(position <= size_ && bytes <= size_ - position, "it points outside of itself");
    require(position % alignment == 0, "its parts are not aligned");
    require(bytes <= budget_, "its parts contain each other without end");
    budget_ -= bytes;
  }

  template <class T>
  T at(size_t position) {
    visit(position, sizeof(T), sizeof(T));
    T value;
    std::memcpy(&value, data_ + position, sizeof(T));
    return value;
  }

  size_t follow(size_t position) {
    const size_t target = position + at<uint32_t>(position);
    require(target != position, "it points outside of itself");
    return target;
  }

  // Returns the position of the first element.
  size_t vector(size_t position, size_t element, uint32_t* count) {
    *count = at<uint32_t>(position);
    visit(position + 4, *count * element, element);
    return position + 4;
  }

  void table(size_t position, size_t layout) {
    const int64_t vtable = static_cast<int64_t>(position) - at<int32_t>(position);
    require(vtable >= 0, "it points outside of itself");
    const size_t entries = static_cast<size_t>(vtable);
    const size_t vtable_size = at<uint16_t>(entries);
    const size_t table_size = at<uint16_t>(entries + 2);
    require(vtable_size >= 4 && vtable_size % 2 == 0, "a table has no layout");
    visit(entries, vtable_size, 2);
    visit(position, table_size, 4);
    const std::vector<Field>& fields = schema()[layout].fields;
    std::vector<size_t> offsets(fields.size(), 0);
    for (size_t i = 0; i < fields.size() && 4 + 2 * i < vtable_size; ++i) {
      offsets[i] = at<uint16_t>(entries + 4 + 2 * i);
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      if (offsets[i] == 0 || fields[i].kind == 0) continue;
      const size_t bytes = fields[i].kind == 's' ? fields[i].size : 4;
      require(offsets[i] >= 4 && offsets[i] + bytes <= table_size, "a field is outside its table");
      if (fields[i].kind == 'u') {
        const bool has_type = i > 0 && offsets[i - 1] != 0;
        member(position + offsets[i], fields[i],
               has_type ? at<uint8_t>(position + offsets[i - 1]) : 0);
      } else {
        field(position + offsets[i], fields[i]);
      }
    }
  }

  void field(size_t position, const Field& field) {
    uint32_t count;
    switch (field.kind) {
      case 's': visit(position, field.size, field.size); break;
      case 'v': vector(follow(position), field.size, &count); break;
      case 't': table(follow(position), field.target); break;
      case 'S': {
        const size_t text = vector(follow(position), 1, &count);
        require(at<uint8_t>(text + count) == 0, "a text does not end");
        break;
      }
      case 'T': {
        const size_t first = vector(follow(position), 4, &count);
        for (size_t i = 0; i < count; ++i) table(follow(first + 4 * i), field.target);
        break;
      }
    }
  }

  // Hosts ignore a member of a type that they do not know.
  void member(size_t position, const Field& field, size_t type) {
    const std::vector<Field>& members = schema()[field.target].fields;
    if (type < members.size() && members[type].kind == 'm') {
      table(follow(position), members[type].target);
    }
  }

  const uint8_t* data_;
  size_t size_;
  size_t budget_;
};

}  // namespace

void verify_flatbuffer(const uint8_t* data, size_t size) {
  require(data != nullptr && size >= 8 && std::memcmp(data + 4, "TFL3", 4) == 0,
          "it lacks the identifier TFL3");
  Verifier(data, size).model();
}

}  // namespace s2bnn
