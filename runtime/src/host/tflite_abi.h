// The part of TFLite's C interface that a delegate uses, written by hand.
//
// No TFLite or LiteRT wheel contains a header, and their libraries export no TfLite* symbol that a
// plug-in could call: every call goes through the function pointers in the structs below. Their
// owners promise to change these structs by appending only. (The names and the order of the fields
// are those of `tensorflow/lite/core/c/common.h` and `builtin_op_data.h`.) Before anything else is
// read, check_layout() in layout.cc looks for signs that a host does not keep this promise.
//
// Valid for LP64, little endian: 64-bit Linux, Android and macOS on x86-64 and ARM.
#pragma once

#include <cstddef>
#include <cstdint>

static_assert(sizeof(void*) == 8 && sizeof(int) == 4, "the structs below describe LP64 hosts");

extern "C" {

enum TfLiteStatus : int { kTfLiteOk = 0, kTfLiteError = 1, kTfLiteDelegateError = 2 };

enum TfLiteType : int { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteBool = 6, kTfLiteInt8 = 9 };

// How a tensor's memory is owned. Constants of the model file are kTfLiteMmapRo.
enum TfLiteAllocationType : int {
  kTfLiteMemNone = 0,
  kTfLiteMmapRo = 1,
  kTfLiteLastAllocationType = 8
};

// Delegate flag: graphs with dynamically shaped tensors may be passed to the delegate. Without it a
// host prepares all nodes first and stops at the custom ops that it cannot resolve, before a
// delegate sees them.
constexpr int64_t kTfLiteDelegateFlagsAllowDynamicTensors = 1;

// An optional input that is absent.
constexpr int kTfLiteOptionalTensor = -1;

struct TfLiteIntArray {
  int size;
  int data[];
};

struct TfLiteContext;
struct TfLiteDelegate;

struct TfLiteTensor {
  TfLiteType type;
  void* data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  TfLiteAllocationType allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  TfLiteDelegate* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
};
static_assert(sizeof(TfLiteTensor) == 112,
              "TfLiteTensor is an array element: its size is part of the interface");

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
  TfLiteDelegate* delegate;
  bool might_have_side_effect;
};

struct TfLiteRegistration {
  void* (*init)(TfLiteContext*, const char* buffer, size_t length);
  void (*free)(TfLiteContext*, void* user_data);
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*);
  const char* (*profiling_string)(const TfLiteContext*, const TfLiteNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
  // ReplaceNodeSubsetsWithDelegateKernels takes a registration by value and copies as many bytes as
  // the host's own struct has. The zeros behind it serve hosts that are newer than this file.
  uint64_t reserved[8];
};

// The content of the buffer that a delegate kernel's init receives.
struct TfLiteDelegateParams {
  TfLiteDelegate* delegate;
  TfLiteIntArray* nodes_to_replace;
  TfLiteIntArray* input_tensors;
  TfLiteIntArray* output_tensors;
};

struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(TfLiteContext*, TfLiteIntArray** plan);
  TfLiteTensor* tensors;
  void* impl_;
  TfLiteStatus (*ResizeTensor)(TfLiteContext*, TfLiteTensor*,
                               TfLiteIntArray* new_size);  // takes ownership; use malloc
  void (*ReportError)(TfLiteContext*, const char* format, ...);
  TfLiteStatus (*AddTensors)(TfLiteContext*, int count, int* first_index);
  TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext*, int node_index, TfLiteNode**,
                                         TfLiteRegistration**);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(TfLiteContext*, TfLiteRegistration,
                                                        const TfLiteIntArray* nodes,
                                                        TfLiteDelegate*);
  int recommended_num_threads;  // -1 if the user set none
  // Every host has more fields here, which we do not need.
};

struct TfLiteDelegate {
  void* data_;
  TfLiteStatus (*Prepare)(TfLiteContext*, TfLiteDelegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
  uint64_t reserved[8];  // zeros, as above
};

// Builtin operators that can join a partition, and their parsed options (TfLiteNode::builtin_data).
enum TfLiteBuiltinOperator : int32_t {
  kTfLiteBuiltinAdd = 0,
  kTfLiteBuiltinAveragePool2d = 1,
  kTfLiteBuiltinConcatenation = 2,
  kTfLiteBuiltinConv2d = 3,
  kTfLiteBuiltinLogistic = 14,
  kTfLiteBuiltinMaxPool2d = 17,
  kTfLiteBuiltinMul = 18,
  kTfLiteBuiltinRelu = 19,
  kTfLiteBuiltinReluN1To1 = 20,
  kTfLiteBuiltinRelu6 = 21,
  kTfLiteBuiltinCustom = 32,
  kTfLiteBuiltinMean = 40,
  kTfLiteBuiltinSub = 41,
  kTfLiteBuiltinDelegate = 51,
  kTfLiteBuiltinPrelu = 54,
};

enum TfLiteFusedActivation : int {
  kTfLiteActNone = 0,
  kTfLiteActRelu = 1,
  kTfLiteActReluN1To1 = 2,
  kTfLiteActRelu6 = 3
};

enum TfLitePadding : int {
  kTfLitePaddingUnknown = 0,
  kTfLitePaddingSame = 1,
  kTfLitePaddingValid = 2
};

struct TfLiteArithmeticParams {  // the common start of TfLiteAddParams, TfLiteSubParams and
                                 // TfLiteMulParams
  int activation;
};

struct TfLiteConcatenationParams {
  int axis;
  int activation;
};

struct TfLiteConvParams {  // newer hosts append to it
  int padding;
  int stride_width;
  int stride_height;
  int activation;
  int dilation_width_factor;
  int dilation_height_factor;
};

struct TfLitePoolParams {
  int padding;
  int stride_width;
  int stride_height;
  int filter_width;
  int filter_height;
  int activation;
};

}  // extern "C"
