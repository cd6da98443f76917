// SPDX-License-Identifier: Apache-2.0
// One line of an operator text test:
//
//   gather(axis=1) f32[2,3]={1,2,3,4,5,6}, i64[2]={0,2} -> f32[2,2]={1,3,4,6}
//   max_pool(kernel_shape=[2,2]) f32[1,1,4,4] -> reference, _ tol=1e-6
//   matmul f32[2,3], f32[4,5] -> error "3 and 4"
//
// Inputs:   f32[2,3]               seeded random numbers: floats in [-1,1), ints in [-5,5], unsigned in [0,5], bools
//           f32[2,3]={1,2,...}     data; a single element fills the tensor: f32[2,3]={7}. nan, inf, -inf, true, "text"
//           are elements f32[2,3]=linspace(-1,1)   =uniform(0,10) _                      optional operand left out
// Results:  like inputs (f32[2,3] alone checks dtype and shape) · `reference`: whatever the reference says, for
// comparing paths
//           · `_`: output not asked for · error "part of the message"
// After the results: tol=1e-6 (absolute and relative; the default follows from the dtype, integers are exact).
// A '#' outside quotes starts a comment; a '\' at the end of a line continues it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "ops/operator.hpp"

namespace carnot::test {

struct Operand {
  enum class Kind { kAbsent, kReference, kShape, kData } kind = Kind::kAbsent;
  DType dtype = DType::kInvalid;
  Dims dims;
  std::optional<Constant> data;  // kData; for inputs also filled when only a shape was given
};

struct TextCase {
  int line = 0;
  std::string text;
  std::string op;
  ops::Attrs attrs;
  std::vector<Operand> inputs;
  std::vector<Operand> results;
  std::optional<std::string> error;  // expected part of a message
  std::optional<double> tolerance;
};

// Errors tell what could not be read.
Result<TextCase> parse_case(std::string_view text, int line);
// All cases of a file; a line that cannot be read is an entry of `broken`.
struct TextFile {
  std::vector<TextCase> cases;
  std::vector<std::pair<int, std::string>> broken;
};
Result<TextFile> read_text_file(const std::string& path);

// A tensor of strings or of memory that is zero-filled.
Constant make_tensor(DType dtype, Dims dims);

}  // namespace carnot::test
