// SPDX-License-Identifier: Apache-2.0
// TensorProto -> Constant: the one gate that every tensor of a model goes through, wherever it stands.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/mapped_file.hpp"
#include "base/tensor.hpp"
#include "importers/onnx/wire.hpp"

namespace carnot::onnx {

class Tensors {
 public:
  // `owner` keeps the model's bytes alive (null: copy everything), `mapped` tells that it is a MappedFile; `folder` is where external data is
  // looked up (empty: refused); `root` is one more folder it may lie in (empty: none).
  Tensors(std::shared_ptr<const void> owner, bool mapped, std::string folder, std::string root)
      : owner_(std::move(owner)), mapped_(mapped), folder_(std::move(folder)), root_(std::move(root)) {}

  Result<Constant> constant(const TensorProto& t);
  // A dense tensor with zeros where `s` says nothing.
  Result<Constant> dense(const SparseTensorProto& s);

 private:
  Result<Constant> from_raw(DType dtype, Dims dims, std::string_view raw, const std::shared_ptr<const void>& owner, bool mapped);
  Result<std::string_view> external(const TensorProto& t, size_t bytes, std::shared_ptr<const void>& owner);
  Result<std::shared_ptr<MappedFile>> open(const std::string& location);

  std::shared_ptr<const void> owner_;
  bool mapped_;
  std::string folder_, root_;
  std::map<std::string, std::shared_ptr<MappedFile>> files_;
};

// The dtype of an ONNX element type; an error with its name if Carnot has none.
Result<DType> dtype_of(int32_t data_type);

}  // namespace carnot::onnx
