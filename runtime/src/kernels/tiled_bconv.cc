#include "kernels/tiled_bconv.h"

#include <algorithm>
#include <cstring>

namespace s2bnn {
namespace {

constexpr int64_t kMaxProducts = 65535;             // a tile's sums have 16 bits
constexpr int64_t kMaxPreparedBytes = 1 << 28;      // dilated filters pad a lot
constexpr int64_t kMaxCorrectionBytes = 1 << 24;
constexpr int kMaxFilterSize = 63;                  // filter rows or columns in a 64-bit set

int bytes_of_word(PreparedFormat format) { return format == PreparedFormat::kNibbles ? 8 : 4; }

// Writes one word of 32 channels in a kernel's format: to `output`, and each further piece `stride` bytes on.
void write_word(uint32_t word, PreparedFormat format, int nibble_shift, uint8_t* output, size_t stride) {
  switch (format) {
    case PreparedFormat::kNibbles:
      for (int i = 0; i < 8; ++i) output[i * stride] = static_cast<uint8_t>((word >> 4 * i & 15) << nibble_shift);
      break;
    case PreparedFormat::kBytes:
      for (int i = 0; i < 4; ++i) output[i * stride] = static_cast<uint8_t>(word >> 8 * i);
      break;
    case PreparedFormat::kWords:
      std::memcpy(output, &word, 4);
      break;
  }
}

int64_t prepared_width(const Shape& input, const Window& window) {
  const int64_t extent = int64_t{window.filter_width - 1} * window.dilation_width + 1;
  const WindowAxis columns = slide(input[2], window.filter_width, window.stride_width, window.dilation_width, window.same_padding);
  return std::max<int64_t>((int64_t{columns.output} - 1) * window.stride_width + extent, columns.padding + input[2]);
}

// For each output position along an axis, the set of filter positions that fall outside of the input.
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

// Numbers the distinct sets; `sets` receives them, the empty one first.
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
  const int64_t prepared_bytes = prepared_width(input, w) * (int64_t{input[0]} * input[1] + 1) * input[3] * 8;
  if (prepared_width(input, w) > kMaxPreparedBytes || prepared_bytes > kMaxPreparedBytes) return false;
  if (!has_zero_padding(op)) return true;
  if (output.type != DataType::kFloat32 || op.activation != Activation::kNone) return false;
  if (w.filter_height > kMaxFilterSize || w.filter_width > kMaxFilterSize) return false;
  const int64_t kinds = int64_t{std::min(2 * filter[1], input[1]) + 1} * (std::min(2 * filter[2], input[2]) + 1);
  return kinds * (filter[0] + kMaxBlock) * 4 < kMaxCorrectionBytes;
}

TiledBconv::TiledBconv(const Op& op, const Partition& partition, const Kernels& kernels)
    : kernels_(kernels),
      window_(op.window),
      input_(partition.tensors[op.inputs[0]].shape),
      output_(partition.tensors[op.output].shape),
      filter_(partition.tensors[op.inputs[1]].shape) {
  const Window& w = window_;
  padding_top_ = slide(input_[1], w.filter_height, w.stride_height, w.dilation_height, w.same_padding).padding;
  padding_left_ = slide(input_[2], w.filter_width, w.stride_width, w.dilation_width, w.same_padding).padding;
  const int groups = groups_of(op, partition);
  const int group_channels = filter_[0] / groups;
  for (int channel = 0; channel < filter_[0];) {
    const int left_in_group = group_channels - channel % group_channels;
    blocks_.push_back({channel / group_channels, channel, std::min(kernels.block, left_in_group)});
    channel += blocks_.back().channels;
  }
  pack_weights(static_cast<const uint32_t*>(partition.tensors[op.inputs[1]].constant));

  scale_.threshold = partition.tensors[op.output].type == DataType::kBits;
  const int32_t* thresholds = nullptr;
  Scaling scaling;
  if (scale_.threshold) {
    thresholds = static_cast<const int32_t*>(partition.tensors[op.inputs[4]].constant);
  } else {
    scaling = scaling_of(op, partition);
    scale_.clamp_low = scaling.clamp_low;
    scale_.clamp_high = scaling.clamp_high;
  }
  multiplier_.assign(blocks_.size() * kernels.block, 0.f);
  bias_.assign(multiplier_.size(), 0.f);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    for (int lane = 0; lane < blocks_[b].channels; ++lane) {
      const int channel = blocks_[b].channel + lane;
      const size_t i = b * kernels.block + lane;
      bias_[i] = scale_.threshold ? static_cast<float>(thresholds[channel]) : scaling.bias[channel];
      if (!scale_.threshold) multiplier_[i] = scaling.multiplier[channel];
    }
  }
  pixel_bytes_ = static_cast<size_t>(input_[3]) * bytes_of_word(kernels.format);
  row_bytes_ = static_cast<size_t>(prepared_width(input_, w)) * pixel_bytes_;
  prepared_.assign((static_cast<size_t>(input_rows()) + 1) * row_bytes_, 0);
  if (has_zero_padding(op)) make_corrections(op, partition);
}

void TiledBconv::pack_weights(const uint32_t* filter) {
  const int lanes = kernels_.block;
  const int lane_bytes = kernels_.format == PreparedFormat::kWords ? 4 : 1;
  const size_t word_bytes = static_cast<size_t>(bytes_of_word(kernels_.format)) * lanes;
  const size_t words = static_cast<size_t>(filter_[1]) * filter_[2] * filter_[3];  // of one output channel, all taps
  block_weight_bytes_ = words * word_bytes;
  weights_.assign(blocks_.size() * block_weight_bytes_, 0);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    for (int lane = 0; lane < blocks_[b].channels; ++lane) {
      const uint32_t* source = filter + (blocks_[b].channel + lane) * words;
      uint8_t* target = weights_.data() + b * block_weight_bytes_ + lane * lane_bytes;
      for (size_t i = 0; i < words; ++i) write_word(source[i], kernels_.format, 0, target + i * word_bytes, lanes);
    }
  }
}

void TiledBconv::make_corrections(const Op& op, const Partition& partition) {
  const Window& w = window_;
  std::vector<uint64_t> row_sets, column_sets;
  row_kind_ = number_kinds(outside(input_[1], w.filter_height, w.stride_height, w.dilation_height), &row_sets);
  column_kind_ = number_kinds(outside(input_[2], w.filter_width, w.stride_width, w.dilation_width), &column_sets);
  column_kinds_ = static_cast<int>(column_sets.size());
  const std::vector<int32_t> sums = tap_sums(op, partition);
  for (uint64_t rows : row_sets) {
    for (uint64_t columns : column_sets) corrections_.push_back(correction(op, partition, sums, rows, columns));
  }
}

std::vector<float> TiledBconv::correction(const Op& op, const Partition& partition, const std::vector<int32_t>& sums,
                                          uint64_t rows_outside, uint64_t columns_outside) const {
  const float* scale = static_cast<const float*>(partition.tensors[op.inputs[2]].constant);
  std::vector<float> result(blocks_.size() * kernels_.block, 0.f);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    for (int lane = 0; lane < blocks_[b].channels; ++lane) {
      const int channel = blocks_[b].channel + lane;
      int32_t padded = 0;
      for (int fy = 0; fy < filter_[1]; ++fy) {
        for (int fx = 0; fx < filter_[2]; ++fx) {
          const bool is_outside = rows_outside >> fy & 1 || columns_outside >> fx & 1;
          if (is_outside) padded += sums[(static_cast<size_t>(channel) * filter_[1] + fy) * filter_[2] + fx];
        }
      }
      result[b * kernels_.block + lane] = -1.f * scale[channel] * static_cast<float>(padded);
    }
  }
  return result;
}

void TiledBconv::prepare_rows(const uint32_t* input, int first, int last) {
  const int word_bytes = bytes_of_word(kernels_.format);
  const size_t words = static_cast<size_t>(input_[2]) * input_[3];
  for (int row = first; row < last; ++row) {
    uint8_t* output = prepared_.data() + (row + 1) * row_bytes_ + padding_left_ * pixel_bytes_;
    const uint32_t* source = input + row * words;
    if (kernels_.format != PreparedFormat::kNibbles) {
      std::memcpy(output, source, words * 4);
      continue;
    }
    for (size_t i = 0; i < words; ++i) write_word(source[i], kernels_.format, 4, output + i * word_bytes, 1);
  }
}

void TiledBconv::make_tile(int row, int column, int pixels, int block, uint16_t* sums, float* tile) const {
  const int image = row / output_[1];
  const int y = row % output_[1];
  const size_t group_bytes = static_cast<size_t>(filter_[3]) * bytes_of_word(kernels_.format);
  const size_t column_bytes = static_cast<size_t>(column) * window_.stride_width * pixel_bytes_;
  const uint8_t* rows[65536 / 32];
  for (int fy = 0; fy < filter_[1]; ++fy) {
    const int64_t input_y = int64_t{y} * window_.stride_height - padding_top_ + int64_t{fy} * window_.dilation_height;
    const bool inside = input_y >= 0 && input_y < input_[1];
    const size_t prepared_row = inside ? static_cast<size_t>(image) * input_[1] + input_y + 1 : 0;
    rows[fy] = prepared_.data() + prepared_row * row_bytes_ + column_bytes + blocks_[block].group * group_bytes;
  }
  ConvTile conv;
  conv.rows = rows;
  conv.filter_height = filter_[1];
  conv.filter_width = filter_[2];
  conv.units = filter_[3] * (kernels_.format == PreparedFormat::kNibbles ? 8 : kernels_.format == PreparedFormat::kBytes ? 4 : 1);
  conv.pixel_step = window_.stride_width * pixel_bytes_;
  conv.tap_step = window_.dilation_width * pixel_bytes_;
  conv.weights = weights_.data() + block * block_weight_bytes_;
  conv.sums = sums;
  kernels_.accumulate(conv, pixels);

  const float* corrections[kMaxTilePixels] = {};
  for (int p = 0; p < pixels && !corrections_.empty(); ++p) {
    const int kind = row_kind_[y] * column_kinds_ + column_kind_[column + p];
    if (kind != 0) corrections[p] = corrections_[kind].data() + static_cast<size_t>(block) * kernels_.block;
  }
  ScaleParameters scale = scale_;
  scale.multiplier = multiplier_.data() + static_cast<size_t>(block) * kernels_.block;
  scale.bias = bias_.data() + static_cast<size_t>(block) * kernels_.block;
  scale.corrections = corrections;
  kernels_.scale(scale, sums, pixels, tile);
}

}  // namespace s2bnn
