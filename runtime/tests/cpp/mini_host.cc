#include "mini_host.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

MiniHost::MiniHost(const MiniModel& model, int num_threads)
    : model_(model), tensors_(model.tensors.size()), memory_(model.tensors.size()) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const MiniTensor& source = model.tensors[i];
    TfLiteTensor& tensor = tensors_[i];
    shapes_.emplace_back(source.shape);
    tensor.type = static_cast<TfLiteType>(source.type);
    tensor.dims = shapes_.back().get();
    tensor.params = {source.scale, source.zero_point};
    tensor.name = "tensor";
    if (!source.is_constant) continue;
    memory_[i] = source.data;
    memory_[i].shrink_to_fit();
    tensor.allocation_type = kTfLiteMmapRo;
    tensor.data = memory_[i].data();
    tensor.bytes = memory_[i].size();
  }
  for (const MiniNode& node : model.nodes) add_node(node);
  std::vector<int> plan(nodes_.size());
  for (size_t i = 0; i < plan.size(); ++i) plan[i] = static_cast<int>(i);
  plan_ = IntArray(plan);
  context_.tensors_size = tensors_.size();
  context_.tensors = tensors_.data();
  context_.impl_ = this;
  context_.GetExecutionPlan = get_execution_plan;
  context_.GetNodeAndRegistration = get_node;
  context_.ResizeTensor = resize_tensor;
  context_.ReportError = report_error;
  context_.ReplaceNodeSubsetsWithDelegateKernels = replace;
  context_.recommended_num_threads = num_threads;
}

MiniHost::~MiniHost() {
  for (Node& node : nodes_) {
    if (node.is_partition) node.registration.free(&context_, node.node.user_data);
  }
}

void MiniHost::add_node(const MiniNode& source) {
  nodes_.emplace_back();
  Node& node = nodes_.back();
  node.inputs = IntArray(source.inputs);
  node.outputs = IntArray(source.outputs);
  node.custom_options = source.custom_options;
  node.custom_options.shrink_to_fit();
  node.builtin_options = source.builtin_options;
  node.node.inputs = node.inputs.get();
  node.node.outputs = node.outputs.get();
  node.node.custom_initial_data =
      node.custom_options.empty() ? nullptr : node.custom_options.data();
  node.node.custom_initial_data_size = static_cast<int>(node.custom_options.size());
  node.node.builtin_data = node.builtin_options.empty() ? nullptr : node.builtin_options.data();
  node.registration.builtin_code = source.builtin_code;
  if (source.builtin_code != kTfLiteBuiltinCustom) return;
  for (const MiniNode& other : model_.nodes) {  // the model lives as long as this
    if (other.custom_name == source.custom_name) {
      node.registration.custom_name = other.custom_name.c_str();
    }
  }
}

bool MiniHost::apply(TfLiteDelegate* delegate) {
  return delegate->Prepare(&context_, delegate) == kTfLiteOk;
}

void MiniHost::resize_input(int tensor, const std::vector<int>& shape) { set_shape(tensor, shape); }

bool MiniHost::allocate() {
  for (Node& node : nodes_) {
    if (node.is_partition && node.registration.prepare(&context_, &node.node) != kTfLiteOk) {
      return false;
    }
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!model_.tensors[i].is_constant && memory_[i].empty()) give_memory(static_cast<int>(i));
  }
  return true;
}

bool MiniHost::invoke() {
  for (Node& node : nodes_) {
    if (node.is_partition && node.registration.invoke(&context_, &node.node) != kTfLiteOk) {
      return false;
    }
  }
  return true;
}

size_t MiniHost::partitions() const {
  return static_cast<size_t>(std::count_if(nodes_.begin(), nodes_.end(),
                                           [](const Node& node) { return node.is_partition; }));
}

void MiniHost::give_memory(int i) {
  size_t bytes = tensors_[i].type == kTfLiteInt8 || tensors_[i].type == kTfLiteBool ? 1 : 4;
  for (int size : model_.tensors[i].shape) {
    if (size <= 0 || bytes > kMaxTensorBytes / static_cast<size_t>(size)) return;
    bytes *= static_cast<size_t>(size);
  }
  memory_[i].assign(bytes, 0);
  memory_[i].shrink_to_fit();
  tensors_[i].data = memory_[i].data();
  tensors_[i].bytes = bytes;
}

bool MiniHost::set_shape(int i, const std::vector<int>& shape) {
  model_.tensors[i].shape = shape;
  shapes_[i] = IntArray(shape);
  tensors_[i].dims = shapes_[i].get();
  give_memory(i);
  return true;
}

TfLiteStatus MiniHost::get_execution_plan(TfLiteContext* context, TfLiteIntArray** plan) {
  *plan = of(context).plan_.get();
  return kTfLiteOk;
}

TfLiteStatus MiniHost::get_node(TfLiteContext* context, int index, TfLiteNode** node,
                                TfLiteRegistration** registration) {
  MiniHost& host = of(context);
  if (index < 0 || static_cast<size_t>(index) >= host.nodes_.size()) return kTfLiteError;
  *node = &host.nodes_[index].node;
  *registration = &host.nodes_[index].registration;
  return kTfLiteOk;
}

TfLiteStatus MiniHost::resize_tensor(TfLiteContext* context, TfLiteTensor* tensor,
                                     TfLiteIntArray* shape) {
  MiniHost& host = of(context);
  const std::vector<int> sizes(shape->data, shape->data + shape->size);
  std::free(shape);
  double bytes = 4;
  for (int size : sizes) bytes *= size;
  if (bytes > static_cast<double>(kMaxTensorBytes)) return kTfLiteError;
  return host.set_shape(static_cast<int>(tensor - host.tensors_.data()), sizes) ? kTfLiteOk
                                                                                : kTfLiteError;
}

// Neighbors in the execution plan become one partition.
TfLiteStatus MiniHost::replace(TfLiteContext* context, TfLiteRegistration registration,
                               const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
  MiniHost& host = of(context);
  const std::set<int> claimed(nodes->data, nodes->data + nodes->size);
  const int count = static_cast<int>(host.model_.nodes.size());
  for (int first = 0; first < count;) {
    std::vector<int> partition;
    while (first < count && claimed.count(first) != 0) partition.push_back(first++);
    if (partition.empty()) {
      ++first;
    } else {
      host.add_partition(registration, partition, delegate);
    }
  }
  return kTfLiteOk;
}

void MiniHost::add_partition(const TfLiteRegistration& registration,
                             const std::vector<int>& members, TfLiteDelegate* delegate) {
  std::set<int> read, made, read_elsewhere(model_.outputs.begin(), model_.outputs.end());
  for (int i = 0; i < static_cast<int>(model_.nodes.size()); ++i) {
    const bool is_member = std::find(members.begin(), members.end(), i) != members.end();
    std::set<int>& readers = is_member ? read : read_elsewhere;
    readers.insert(model_.nodes[i].inputs.begin(), model_.nodes[i].inputs.end());
    if (is_member) made.insert(model_.nodes[i].outputs.begin(), model_.nodes[i].outputs.end());
  }
  std::vector<int> inputs, outputs;
  for (int tensor : read) {
    if (tensor >= 0 && made.count(tensor) == 0) inputs.push_back(tensor);
  }
  for (int tensor : made) {
    if (tensor >= 0 && read_elsewhere.count(tensor) != 0) outputs.push_back(tensor);
  }
  nodes_.emplace_back();
  Node& node = nodes_.back();
  node.is_partition = true;
  node.registration = registration;
  node.inputs = IntArray(inputs);
  node.outputs = IntArray(outputs);
  node.node.inputs = node.inputs.get();
  node.node.outputs = node.outputs.get();
  node.node.delegate = delegate;
  IntArray nodes(members);
  TfLiteDelegateParams params = {delegate, nodes.get(), node.inputs.get(), node.outputs.get()};
  node.node.user_data =
      registration.init(&context_, reinterpret_cast<const char*>(&params), sizeof(params));
}

void MiniHost::report_error(TfLiteContext* context, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  of(context).errors_ += std::string(message) + "\n";
}
