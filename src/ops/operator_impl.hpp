// SPDX-License-Identifier: Apache-2.0
// The templates behind operator.hpp: from fields() to attributes and back.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

namespace detail {

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

// Numbers convert where nothing is lost (2 for 2.0, an empty list of ints for an empty list of anything).
bool assign(int64_t& to, const Attr& from);
bool assign(double& to, const Attr& from);
bool assign(std::string& to, const Attr& from);
bool assign(DType& to, const Attr& from);
bool assign(std::vector<int64_t>& to, const Attr& from);
bool assign(std::vector<double>& to, const Attr& from);
bool assign(std::vector<std::string>& to, const Attr& from);
template <typename T>
bool assign(std::optional<T>& to, const Attr& from) {
  T value{};
  if (!assign(value, from)) return false;
  to = std::move(value);
  return true;
}

template <typename T>
Attrs attrs_of(const T& op) {
  Attrs out;
  const T defaults{};
  std::apply(
      [&](const auto&... f) {
        [[maybe_unused]] auto one = [&](const auto& field) {
          const auto& value = op.*field.member;
          if (!field.required && value == defaults.*field.member) return;
          if constexpr (IsOptional<std::decay_t<decltype(value)>>::value) {
            if (value) out.emplace_back(std::string(field.name), Attr(*value));
          } else {
            out.emplace_back(std::string(field.name), Attr(value));
          }
        };
        (one(f), ...);
      },
      T::fields());
  return out;
}

template <typename T>
Result<Operator> make_from(const Attrs& attrs) {
  T op{};
  Status status;
  for (const auto& [name, attr] : attrs) {
    bool found = false;
    std::apply(
        [&](const auto&... f) {
          [[maybe_unused]] auto one = [&](const auto& field) {
            if (field.name != name) return;
            found = true;
            if (!assign(op.*field.member, attr))
              status = invalid("operator '{}': attribute '{}' has the wrong type (got {})", T::info.name, name, to_string(attr));
          };
          (one(f), ...);
        },
        T::fields());
    if (!found) status = invalid("operator '{}' has no attribute '{}'", T::info.name, name);
    if (!status) return std::move(status.error());
  }
  std::apply(
      [&](const auto&... f) {
        [[maybe_unused]] auto one = [&](const auto& field) {
          if (!field.required) return;
          for (const auto& [name, attr] : attrs)
            if (name == field.name) return;
          status = invalid("operator '{}' needs attribute '{}'", T::info.name, field.name);
        };
        (one(f), ...);
      },
      T::fields());
  if (!status) return std::move(status.error());
  return Operator(std::move(op));
}

template <typename T>
inline constexpr char kTypeId = 0;

template <typename T>
struct ModelOf final : Operator::Model {
  explicit ModelOf(T op) : op_(std::move(op)) {}
  const OpInfo& info() const override { return T::info; }
  Attrs attrs() const override { return attrs_of(op_); }
  Result<Facts> infer(const InferCtx& ctx) const override { return op_.infer(ctx); }
  Status evaluate(EvalCtx& ctx) const override { return op_.evaluate(ctx); }
  bool equals(const Model& other) const override {
    return other.type() == type() && *static_cast<const T*>(other.self()) == op_;
  }
  const void* type() const override { return &kTypeId<T>; }
  const void* self() const override { return &op_; }
  std::optional<Operator> permuted(const std::vector<int64_t>& perm) const override {
    if constexpr (requires { op_.permuted(perm); }) {
      if (auto other = op_.permuted(perm)) return Operator(std::move(*other));
    }
    return std::nullopt;
  }
  T op_;
};

template <typename T>
concept OperatorStruct = requires(const T& op, const InferCtx& infer, EvalCtx& eval) {
  { T::info.name } -> std::convertible_to<std::string_view>;
  T::fields();
  { op.infer(infer) } -> std::same_as<Result<Facts>>;
  { op.evaluate(eval) } -> std::same_as<Status>;
  { op == op } -> std::same_as<bool>;
};

}  // namespace detail

template <typename T>
Operator::Operator(T op) : model_(std::make_shared<detail::ModelOf<T>>(std::move(op))) {
  static_assert(detail::OperatorStruct<T>);
}

template <typename T>
const T* Operator::as() const {
  return model_ && model_->type() == &detail::kTypeId<T> ? static_cast<const T*>(model_->self()) : nullptr;
}

template <typename... Ts>
std::vector<OpEntry> make_entries() {
  return {OpEntry{&Ts::info, &detail::make_from<Ts>}...};
}

}  // namespace carnot::ops

// Makes the operators of one file known. `file` is the file's name without .cpp.
#define CARNOT_DEFINE_OPS(file, ...) \
  std::vector<::carnot::ops::OpEntry> op_entries_##file() { return ::carnot::ops::make_entries<__VA_ARGS__>(); }
