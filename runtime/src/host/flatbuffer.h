// Access to the tables of a flatbuffer. Every offset is checked, but not what the values mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace s2bnn {

struct FlatFile {  // the bytes, which must outlive everything that reads them
  const uint8_t* data;
  size_t size;

  template <class T>
  T at(size_t position) const {
    if (position > size || sizeof(T) > size - position) {
      throw Error("an offset points outside of the file");
    }
    T value;
    std::memcpy(&value, data + position, sizeof(T));
    return value;
  }
  size_t follow(size_t position) const { return position + at<uint32_t>(position); }
};

// A table. Fields are found through a table of offsets, which has 0 for an absent field. Their
// numbers are those of schema.fbs.
class FlatTable {
 public:
  FlatTable(const FlatFile& file, size_t position) : file_(file), position_(position) {
    vtable_ = position - static_cast<size_t>(int64_t{file.at<int32_t>(position)});
    vtable_size_ = file.at<uint16_t>(vtable_);
  }

  size_t field(int index) const {
    const size_t entry = 4 + 2 * static_cast<size_t>(index);
    if (entry + 2 > vtable_size_) return 0;
    const uint16_t offset = file_.at<uint16_t>(vtable_ + entry);
    return offset == 0 ? 0 : position_ + offset;
  }

  template <class T>
  T scalar(int index, T otherwise = 0) const {
    const size_t where = field(index);
    return where == 0 ? otherwise : file_.at<T>(where);
  }

  // Elements of a vector of scalars or bytes.
  template <class T>
  std::vector<T> vector(int index) const {
    const size_t where = field(index);
    if (where == 0) return {};
    const size_t start = file_.follow(where);
    const size_t count = file_.at<uint32_t>(start);
    if (count > file_.size / sizeof(T)) throw Error("a vector is longer than the file");
    if (count > 0) file_.at<T>(start + 4 + (count - 1) * sizeof(T));
    std::vector<T> result(count);
    if (count > 0) std::memcpy(result.data(), file_.data + start + 4, count * sizeof(T));
    return result;
  }

  size_t vector_size(int index) const {
    const size_t where = field(index);
    return where == 0 ? 0 : file_.at<uint32_t>(file_.follow(where));
  }

  std::vector<FlatTable> tables(int index) const {
    const size_t where = field(index);
    if (where == 0) return {};
    const size_t start = file_.follow(where);
    const size_t count = file_.at<uint32_t>(start);
    if (count > file_.size / 4) throw Error("a vector is longer than the file");
    std::vector<FlatTable> result;
    for (size_t i = 0; i < count; ++i) result.emplace_back(file_, file_.follow(start + 4 + 4 * i));
    return result;
  }

  bool has(int index) const { return field(index) != 0; }
  FlatTable table(int index) const { return FlatTable(file_, file_.follow(field(index))); }

 private:
  FlatFile file_;
  size_t position_, vtable_;
  size_t vtable_size_;
};

}  // namespace s2bnn
