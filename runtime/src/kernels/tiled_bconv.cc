#include "kernels/tiled_bconv.h"

#include <algorithm>
#include <cstring>

#include "kernels/prepared_format.h"

namespace s2bnn {
namespace {

constexpr int64_t kMaxProducts = 65535;         // a tile's sums have 16 bits
constexpr int64_t kMaxPreparedBytes = 1 << 28;  // dilated filters need much padding
constexpr int64_t kMaxCorrectionBytes = 1 << 24;
constexpr int kMaxFilterSize = 63;  // filter rows or columns in a 64-bit set

// The number of rows (columns) of an image with as much padding as its windows reach.
int64_t padded_size(int input, int filter, int stride, int dilation, bool same_padding) {
  const WindowAxis axis = slide(input, filter, stride, dilation, same_padding);
  const int64_t extent = int64_t{filter - 1} * dilation + 1;
  return std::max<int64_t>((int64_t{axis.output} - 1) * stride + extent,
                           axis.padding + int64_t{input});
}

int64_t padded_height(const Shape& input, const Window& w) {
  return padded_size(input[1], w.filter_height, w.stride_height, w.dilation_height, w.same_padding);
}

int64_t padded_width(const Shape& input, const Window& w) {
  return padded_size(input[2], w.filter_width, w.stride_width, w.dilation_width, w.same_padding);
}

// For each output position along an axis, the set of filter positions that fall outside of the
// input.
std::vector<uint64_t> outside(int input, int filter, int stride, int dilation) {
  const WindowAxis axis = slide(input, filter, stride, dilation, true);
  std::vector<uint64_t> result(axis.output, 0);
  for (int o = 0; o < axis.output; ++o) {
    for (int f = 0; f < filter; ++f) {
      const int64_t i = int64_t{o} * stride - axis.padding + int64_t{f} * dilation;
      if (i < 0 || i >= input) result[o] |= uint64_t{1} << f;
    }
  }
  return result;
}

// Numbers the distinct sets. `sets` receives them, the empty one first.
std::vector<int> number_kinds(const std::vector<uint64_t>& all, std::vector<uint64_t>* sets) {
  sets->assign(1, 0);
  std::vector<int> result;
  for (uint64_t set : all) {
    auto found = std::find(sets->begin(), sets->end(), set);
    if (found == sets->end()) found = sets->insert(sets->end(), set);
    result.push_back(static_cast<int>(found - sets->begin()));
  }
  return result;
}

}  // namespace

bool TiledBconv::covers(const Op& op, const Partition& partition) {
  const Shape& input = partition.tensors[op.inputs[0]].shape;
  const Shape& filter = partition.tensors[op.inputs[1]].shape;
  const Tensor& output = partition.tensors[op.output];
  const Window& w = op.window;
  if (int64_t{filter[1]} * filter[2] * filter[3] * 32 > kMaxProducts) return false;
  if (filter[0] / groups_of(op, partition) % 32 != 0 && groups_of(op, partition) > 1) return false;
  const int64_t rows = padded_height(input, w) * input[0];
  if (rows > kMaxPreparedBytes || padded_width(input, w) > kMaxPreparedBytes) return false;
  if (rows * padded_width(input, w) > kMaxPreparedBytes / (8 * int64_t{input[3]})) return false;
  if (!has_zero_padding(op)) return true;
  if (output.type != DataType::kFloat32 || op.activation != Activation::kNone) return false;
  if (w.filter_height > kMaxFilterSize || w.filter_width > kMaxFilterSize) return false;
  const int64_t kinds =
      int64_t{std::min(2 * filter[1], input[1]) + 1} * (std::min(2 * filter[2], input[2]) + 1);
  return kinds * (filter[0] + kMaxBlock) * 4 < kMaxCorrectionBytes;
}

TiledBconv::TiledBconv(const Op& op, const Partition& partition, const Kernels& kernels)
    : kernels_(kernels),
      window_(op.window),
      input_(partition.tensors[op.inputs[0]].shape),
      output_(partition.tensors[op.output].shape),
      filter_(partition.tensors[op.inputs[1]].shape),
      groups_(groups_of(op, partition)),
      compares_(partition.tensors[op.output].type == DataType::kBits) {
  const Window& w = window_;
  padding_top_ =
      slide(input_[1], w.filter_height, w.stride_height, w.dilation_height, w.same_padding).padding;
  padding_left_ =
      slide(input_[2], w.filter_width, w.stride_width, w.dilation_width, w.same_padding).padding;
  const int group_channels = filter_[0] / groups_;
  for (int channel = 0; channel < filter_[0];) {
    const int left_in_group = group_channels - channel % group_channels;
    blocks_.push_back({channel / group_channels, channel, std::min(kernels.block, left_in_group)});
    channel += blocks_.back().channels;
  }
  group_bytes_ = static_cast<size_t>(prepared_bytes(filter_[3], kernels.format));
  pack_weights(static_cast<const uint32_t*>(partition.tensors[op.inputs[1]].constant));
  set_scale(op, partition);
  pixel_bytes_ = groups_ * group_bytes_;
  row_bytes_ = static_cast<size_t>(padded_width(input_, w)) * pixel_bytes_;
  prepared_rows_ = static_cast<int>(padded_height(input_, w));
  prepared_.assign(static_cast<size_t>(input_[0]) * prepared_rows_ * row_bytes_ + kReadBehind, 0);
  if (has_zero_padding(op)) make_corrections(op, partition);
}

void TiledBconv::pack_weights(const uint32_t* filter) {
  const size_t unit = bytes_of_unit(kernels_.format);
  const size_t units = group_bytes_ / unit;
  const size_t taps = static_cast<size_t>(filter_[1]) * filter_[2];
  block_weight_bytes_ = taps * group_bytes_ * kernels_.block;
  weights_.assign(blocks_.size() * block_weight_bytes_ + kReadBehind, 0);
  std::vector<uint8_t> prepared(group_bytes_);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    for (int lane = 0; lane < blocks_[b].channels; ++lane) {
      for (size_t tap = 0; tap < taps; ++tap) {
        const uint32_t* words = filter + ((blocks_[b].channel + lane) * taps + tap) * filter_[3];
        prepare_words(words, 1, filter_[3], kernels_.format, prepared.data());
        uint8_t* target = weights_.data() + b * block_weight_bytes_ +
                          tap * group_bytes_ * kernels_.block + lane * unit;
        for (size_t u = 0; u < units; ++u) {
          std::memcpy(target + u * kernels_.block * unit, prepared.data() + u * unit, unit);
        }
      }
    }
  }
  // A pixel's nibble is the offset of a row in the table, a filter's nibble the column.
  if (kernels_.format != PreparedFormat::kNibbles) return;
  for (uint8_t& nibble : weights_) nibble >>= 4;
}

void TiledBconv::set_scale(const Op& op, const Partition& partition) {
  const size_t channels = filter_[0];
  if (compares_) {
    const int32_t* thresholds =
        static_cast<const int32_t*>(partition.tensors[op.inputs[4]].constant);
    bias_.assign(thresholds, thresholds + channels);
  } else {
    const Scaling scaling = scaling_of(op, partition);
    multiplier_.assign(scaling.multiplier.begin(), scaling.multiplier.end());
    bias_.assign(scaling.bias.begin(), scaling.bias.end());
    scale_.clamps = op.activation != Activation::kNone;
    scale_.clamp_low = scaling.clamp_low;
    scale_.clamp_high = scaling.clamp_high;
  }
  // Kernels read to the end of the last block.
  multiplier_.resize(channels + kMaxBlock, 0.f);
  bias_.resize(channels + kMaxBlock, 0.f);
  scale_.multiplier = multiplier_.data();
  scale_.bias = bias_.data();
}

void TiledBconv::make_corrections(const Op& op, const Partition& partition) {
  const Window& w = window_;
  std::vector<uint64_t> row_sets, column_sets;
  row_kind_ = number_kinds(outside(input_[1], w.filter_height, w.stride_height, w.dilation_height),
                           &row_sets);
  const std::vector<int> column_kind = number_kinds(
      outside(input_[2], w.filter_width, w.stride_width, w.dilation_width), &column_sets);
  const std::vector<int32_t> sums = tap_sums(op, partition);
  for (uint64_t rows : row_sets) {
    for (uint64_t columns : column_sets) {
      corrections_.push_back(correction(op, partition, sums, rows, columns));
    }
  }
  for (size_t row = 0; row < row_sets.size(); ++row) {
    borders_.emplace_back();
    for (int column : column_kind) {
      const bool inside = row == 0 && column == 0;
      borders_.back().push_back(inside ? nullptr
                                       : corrections_[row * column_sets.size() + column].data());
    }
  }
}

AlignedVector<float> TiledBconv::correction(const Op& op, const Partition& partition,
                                            const std::vector<int32_t>& sums, uint64_t rows_outside,
                                            uint64_t columns_outside) const {
  const float* scale = static_cast<const float*>(partition.tensors[op.inputs[2]].constant);
  AlignedVector<float> result(filter_[0] + kMaxBlock, 0.f);
  for (int channel = 0; channel < filter_[0]; ++channel) {
    int32_t padded = 0;
    for (int fy = 0; fy < filter_[1]; ++fy) {
      for (int fx = 0; fx < filter_[2]; ++fx) {
        const bool is_outside = rows_outside >> fy & 1 || columns_outside >> fx & 1;
        if (is_outside) {
          padded += sums[(static_cast<size_t>(channel) * filter_[1] + fy) * filter_[2] + fx];
        }
      }
    }
    result[channel] = -1.f * scale[channel] * static_cast<float>(padded);
  }
  return result;
}

void TiledBconv::prepare_rows(const uint32_t* input, int first, int last) {
  const int words = filter_[3];
  const size_t row_words = static_cast<size_t>(input_[2]) * input_[3];
  for (int row = first; row < last; ++row) {
    const size_t prepared_row =
        static_cast<size_t>(row / input_[1]) * prepared_rows_ + padding_top_ + row % input_[1];
    uint8_t* output = prepared_.data() + prepared_row * row_bytes_ + padding_left_ * pixel_bytes_;
    prepare_words(input + row * row_words, row_words / words, words, kernels_.format, output);
  }
}

TiledBconv::Place TiledBconv::locate(const TilePosition& at) const {
  Place place;
  place.corrected = false;
  const int first_run = at.skip == 0 ? at.pixels : 4;
  locate_run(at.pixel, 0, first_run, &place);
  if (first_run < at.pixels) locate_run(at.pixel + 4 + at.skip, 4, at.pixels, &place);
  return place;
}

void TiledBconv::locate_run(size_t pixel, int p, int last, Place* place) const {
  const uint32_t width = output_[2], height = output_[1];
  uint32_t row = static_cast<uint32_t>(pixel) / width;  // over the batch
  uint32_t x = static_cast<uint32_t>(pixel) - row * width;
  const size_t step = window_.stride_width * pixel_bytes_;
  for (; p < last; ++row, x = 0) {
    const uint32_t image = row / height, y = row - image * height;
    const size_t prepared_row = static_cast<size_t>(image) * prepared_rows_ +
                                static_cast<size_t>(y) * window_.stride_height;
    const uint8_t* input = prepared_.data() + prepared_row * row_bytes_ + x * step;
    const float* const* border = row_kind_.empty() ? nullptr : borders_[row_kind_[y]].data();
    for (; p < last && x < width; ++p, ++x, input += step) {
      place->pixels[p] = input;
      place->corrections[p] = border == nullptr ? nullptr : border[x];
      place->corrected |= place->corrections[p] != nullptr;
    }
  }
}

void TiledBconv::accumulate(const Place& place, int pixels, int block, uint16_t* sums) const {
  ConvTile tile;
  const size_t offset = blocks_[block].group * group_bytes_;
  for (int p = 0; p < pixels; ++p) tile.pixels[p] = place.pixels[p] + offset;
  tile.filter_height = filter_[1];
  tile.filter_width = filter_[2];
  tile.units = static_cast<int>(group_bytes_) / bytes_of_unit(kernels_.format);
  tile.row_step = window_.dilation_height * row_bytes_;
  tile.tap_step = window_.dilation_width * pixel_bytes_;
  tile.channels = blocks_[block].channels;
  tile.weights = weights_.data() + block * block_weight_bytes_;
  tile.sums = sums;
  kernels_.accumulate(tile, pixels);
}

}  // namespace s2bnn
