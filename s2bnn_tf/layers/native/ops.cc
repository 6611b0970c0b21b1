// The operations that TensorFlow sees, on a CPU: inputs of any rank with the channels last.
#include <atomic>

#include "activations.h"
#include "binary_conv.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace s2bnn {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

const float* read(OpKernelContext* context, int input) {
  return context->input(input).flat<float>().data();
}

// The data of a new output; null where it is empty, or where there is no memory, which the context
// knows.
float* make(OpKernelContext* context, int output, const TensorShape& shape) {
  Tensor* tensor = nullptr;
  const auto status = context->allocate_output(output, shape, &tensor);
  if (!status.ok()) {
    context->SetStatus(status);
    return nullptr;
  }
  return tensor->flat<float>().data();
}

// Runs work(i) for i in [0, count) on the threads of TensorFlow. `cost` is cycles of one.
template <typename Work>
void in_parallel(OpKernelContext* context, int64_t count, int64_t cost, const Work& work) {
  context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
      count, cost, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) work(i);
      });
}

bool rows_of(OpKernelContext* context, int vectors, Rows* rows) {
  const TensorShape& shape = context->input(0).shape();
  const bool maps = shape.dims() > 0 && shape.dim_size(shape.dims() - 1) > 0;
  rows->channels = maps ? shape.dim_size(shape.dims() - 1) : 1;
  rows->count = shape.num_elements() / rows->channels;
  bool fits = maps;
  for (int i = 1; i <= vectors; ++i) fits &= context->input(i).NumElements() == rows->channels;
  if (!fits)
    context->SetStatus(tensorflow::errors::InvalidArgument("expected one number per channel"));
  return fits;
}

// Runs a pass over the rows of input 0, whose inputs 1 to `vectors` have a number per channel. It
// makes an output like input 0 and, for each input in `summed`, one like that input, of sums over
// the rows. `work(rows, chunk, output, sums)` writes a chunk of the former and adds to the latter.
template <typename Work>
void pass_over_rows(OpKernelContext* context, int vectors, const std::vector<int>& summed,
                    const Work& work) {
  Rows rows;
  if (!rows_of(context, vectors, &rows)) return;
  float* output = make(context, 0, context->input(0).shape());
  std::vector<float*> totals;
  for (int input : summed) {
    totals.push_back(
        make(context, 1 + static_cast<int>(totals.size()), context->input(input).shape()));
  }
  if (!context->status().ok()) return;
  std::vector<std::vector<float>> parts(summed.size(),
                                        std::vector<float>(rows.chunks() * rows.channels));
  in_parallel(context, rows.chunks(), kChunk * (1 + summed.size()), [&](int64_t chunk) {
    std::vector<float*> sums;
    for (auto& part : parts) sums.push_back(part.data() + chunk * rows.channels);
    work(rows, chunk, output, sums.data());
  });
  for (size_t i = 0; i < parts.size(); ++i) add_chunks(parts[i], rows.channels, totals[i]);
}

class Sign : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const float *input = read(context, 0), *bias = read(context, 1);
    pass_over_rows(context, 1, {}, [=](const Rows& rows, int64_t chunk, float* output, float**) {
      sign_chunk(rows, chunk, input, bias, output);
    });
  }
};

class SignGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const float *input = read(context, 0), *bias = read(context, 1), *up = read(context, 2);
    pass_over_rows(context, 1, {1},
                   [=](const Rows& rows, int64_t chunk, float* gradient, float** sums) {
                     sign_gradient_chunk(rows, chunk, input, bias, up, gradient, sums[0]);
                   });
  }
};

class RPReLU : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const float *input = read(context, 0), *shift_in = read(context, 1), *slope = read(context, 2),
                *shift_out = read(context, 3);
    pass_over_rows(context, 3, {}, [=](const Rows& rows, int64_t chunk, float* output, float**) {
      rprelu_chunk(rows, chunk, input, shift_in, slope, shift_out, output);
    });
  }
};

class RPReLUGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const float *input = read(context, 0), *shift_in = read(context, 1), *slope = read(context, 2),
                *up = read(context, 3);
    pass_over_rows(context, 2, {1, 2, 1},
                   [=](const Rows& rows, int64_t chunk, float* gradient, float** sums) {
                     rprelu_gradient_chunk(rows, chunk, input, shift_in, slope, up, gradient,
                                           {sums[0], sums[1], sums[2]});
                   });
  }
};

// The side of an output, and the padding before it, as TensorFlow defines both paddings.
void cover(int64_t input, int64_t filter, int64_t stride, bool same, int64_t* output,
           int64_t* before) {
  *output = same ? (input + stride - 1) / stride : (input - filter + stride) / stride;
  *before = same ? std::max<int64_t>(0, (*output - 1) * stride + filter - input) / 2 : 0;
}

class BinaryConv : public OpKernel {
 public:
  explicit BinaryConv(OpKernelConstruction* context) : OpKernel(context) {
    std::string padding;
    OP_REQUIRES_OK(context, context->GetAttr("strides", &strides_));
    OP_REQUIRES_OK(context, context->GetAttr("padding", &padding));
    same_ = padding == "SAME";
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &input = context->input(0), &kernel = context->input(2);
    OP_REQUIRES(context,
                input.dims() == 4 && kernel.dims() == 4 &&
                    kernel.dim_size(2) == input.dim_size(3) &&
                    context->input(1).NumElements() == input.dim_size(3),
                tensorflow::errors::InvalidArgument("maps, biases and kernel do not fit"));
    ConvShape shape{input.dim_size(0),  input.dim_size(1),  input.dim_size(2), input.dim_size(3),
                    kernel.dim_size(0), kernel.dim_size(1), kernel.dim_size(3)};
    shape.stride_y = strides_[1], shape.stride_x = strides_[2];
    cover(shape.height, shape.filter_height, shape.stride_y, same_, &shape.output_height,
          &shape.padding_top);
    cover(shape.width, shape.filter_width, shape.stride_x, same_, &shape.output_width,
          &shape.padding_left);
    OP_REQUIRES(context, shape.output_height >= 0 && shape.output_width >= 0,
                tensorflow::errors::InvalidArgument("the filter is larger than the map"));
    float* output =
        make(context, 0,
             TensorShape({shape.batch, shape.output_height, shape.output_width, shape.filters}));
    if (context->status().ok()) convolve(context, shape, output);
  }

 private:
  void convolve(OpKernelContext* context, const ConvShape& shape, float* output) const {
    const float *input = read(context, 0), *bias = read(context, 1);
    const int64_t pixels = shape.width, words = shape.pixel_words();
    std::vector<uint64_t> signs(shape.batch * shape.height * pixels * words);
    std::atomic<bool> numbers{true};
    in_parallel(context, shape.batch * shape.height, pixels * shape.channels / 4, [&](int64_t row) {
      bool all = true;
      for (int64_t i = row * pixels; i < (row + 1) * pixels; ++i) {
        all &= pack_signs(input + i * shape.channels, bias, shape.channels, &signs[i * words]);
      }
      if (!all) numbers = false;
    });
    const BinaryKernel packed(shape, read(context, 2));
    const int64_t size = shape.output_width * shape.filters;
    in_parallel(context, shape.rows(), size * (8 + shape.words() / 4), [&](int64_t row) {
      ConvRow(shape, packed, signs.data(), row).run(output + row * size);
    });
    // A bit cannot say that something is not a number, so all of the output does.
    if (!numbers) {
      std::fill(output, output + shape.rows() * size, std::numeric_limits<float>::quiet_NaN());
    }
  }

  std::vector<int32_t> strides_;
  bool same_;
};

tensorflow::Status like_first(InferenceContext* context) {
  for (int i = 0; i < context->num_outputs(); ++i) context->set_output(i, context->input(i));
  return tensorflow::OkStatus();
}

tensorflow::Status convolved(InferenceContext* context) {
  tensorflow::shape_inference::ShapeHandle input, kernel;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &input));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 4, &kernel));
  std::vector<int32_t> strides;
  std::string padding;
  TF_RETURN_IF_ERROR(context->GetAttr("strides", &strides));
  TF_RETURN_IF_ERROR(context->GetAttr("padding", &padding));
  const auto kind = padding == "SAME" ? tensorflow::SAME : tensorflow::VALID;
  tensorflow::shape_inference::DimensionHandle sides[2];
  for (int i = 0; i < 2; ++i) {
    TF_RETURN_IF_ERROR(tensorflow::shape_inference::GetWindowedOutputSizeFromDims(
        context, context->Dim(input, 1 + i), context->Dim(kernel, i), strides[1 + i], kind,
        &sides[i]));
  }
  context->set_output(
      0, context->MakeShape({context->Dim(input, 0), sides[0], sides[1], context->Dim(kernel, 3)}));
  return tensorflow::OkStatus();
}

}  // namespace

REGISTER_OP("S2bnnSign")
    .Input("input: float")
    .Input("bias: float")
    .Output("output: float")
    .SetShapeFn(like_first);
REGISTER_OP("S2bnnSignGradient")
    .Input("input: float")
    .Input("bias: float")
    .Input("upstream: float")
    .Output("gradient: float")
    .Output("bias_gradient: float")
    .SetShapeFn(like_first);
REGISTER_OP("S2bnnRPReLU")
    .Input("input: float")
    .Input("shift_in: float")
    .Input("slope: float")
    .Input("shift_out: float")
    .Output("output: float")
    .SetShapeFn(like_first);
REGISTER_OP("S2bnnRPReLUGradient")
    .Input("input: float")
    .Input("shift_in: float")
    .Input("slope: float")
    .Input("upstream: float")
    .Output("gradient: float")
    .Output("shift_in_gradient: float")
    .Output("slope_gradient: float")
    .Output("shift_out_gradient: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      for (int i = 1; i < 4; ++i) context->set_output(i, context->input(i == 2 ? 2 : 1));
      return tensorflow::OkStatus();
    });
REGISTER_OP("S2bnnBinaryConv")
    .Input("input: float")
    .Input("bias: float")
    .Input("kernel: float")
    .Attr("strides: list(int)")
    .Attr("padding: {'SAME', 'VALID'}")
    .Output("output: float")
    .SetShapeFn(convolved);

#define S2BNN_KERNEL(name, type) \
  REGISTER_KERNEL_BUILDER(Name(name).Device(tensorflow::DEVICE_CPU), type)
S2BNN_KERNEL("S2bnnSign", Sign);
S2BNN_KERNEL("S2bnnSignGradient", SignGradient);
S2BNN_KERNEL("S2bnnRPReLU", RPReLU);
S2BNN_KERNEL("S2bnnRPReLUGradient", RPReLUGradient);
S2BNN_KERNEL("S2bnnBinaryConv", BinaryConv);

}  // namespace s2bnn
