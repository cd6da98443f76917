// SPDX-License-Identifier: Apache-2.0
// Ports a trained network by the layer API: reads its weights, describes its layers, builds an engine, runs it on the
// test pictures and prints how many digits it knows. digits.py is the same in Python; train.py made the weights.
#include <algorithm>
#include <cstdio>

#include "carnot/network.hpp"
#include "npz.hpp"

namespace {

using Weights = std::map<std::string, npz::Array>;

carnot::Network describe(const Weights& weights) {
  carnot::Network net("digits");
  const auto weight = [&](const std::string& name) {
    const npz::Array& array = weights.at(name);
    return net.constant(array.as<float>("<f4").data(), array.dims, name);  // the network keeps a copy
  };
  const auto conv = [&](const carnot::Value& x, const std::string& name) {
    return net.relu(
        net.conv(x, weight(name + ".weight"), {.pads = {1, 1, 1, 1}, .bias = weight(name + ".bias")}, name));
  };
  const auto linear = [&](const carnot::Value& x, const std::string& name) {
    return net.linear(x, weight(name + ".weight"), weight(name + ".bias"), name);
  };

  carnot::Value x = net.input("pictures", CARNOT_F32, {"batch", 1, 8, 8});
  x = conv(x, "conv1");
  x = conv(x, "conv2");
  x = net.max_pool(x, {2, 2}, {.strides = {2, 2}});
  x = net.flatten(x);
  x = net.relu(linear(x, "fc1"));
  x = net.softmax(linear(x, "fc2"));
  net.output(x, "probabilities");
  return net;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: digits FOLDER        (with weights.npz and split.npz, such as examples/digits)\n");
    return 2;
  }
  try {
    const std::string folder = argv[1];
    const Weights weights = npz::load(folder + "/weights.npz"), split = npz::load(folder + "/split.npz");
    const std::vector<uint8_t> grey = split.at("pictures").as<uint8_t>("|u1"),
                               labels = split.at("labels").as<uint8_t>("|u1");
    std::vector<float> pictures(grey.size());
    std::transform(grey.begin(), grey.end(), pictures.begin(), [](uint8_t v) { return v / 16.0f; });
    const auto count = static_cast<int64_t>(labels.size());

    const std::vector<std::byte> bytes = describe(weights).build();
    const carnot::Engine engine = carnot::Engine::load(bytes.data(), bytes.size());
    carnot::Session session(engine);
    const auto outputs = session.run({{"pictures", carnot::tensor(pictures.data(), {count, 1, 8, 8})}});
    const float* p = outputs.at("probabilities").data<float>();
    int64_t right = 0;
    for (int64_t i = 0; i < count; ++i, p += 10) right += std::max_element(p, p + 10) - p == labels[i];
    std::printf("engine of %zu bytes; %lld of %lld right (%.2f %%)\n", bytes.size(), static_cast<long long>(right),
                static_cast<long long>(count), 100.0 * static_cast<double>(right) / static_cast<double>(count));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "digits: error: %s\n", problem.what());
    return 1;
  }
  return 0;
}
