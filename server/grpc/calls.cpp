// SPDX-License-Identifier: Apache-2.0
#include "grpc/calls.hpp"

#include <deque>
#include <mutex>

#include "grpc/convert.hpp"

namespace carnot::serve {
namespace {

// What the queue hands back: one operation of a call.
class Operation {
 public:
  virtual void complete(bool ok) = 0;

 protected:
  ~Operation() = default;
};

// An operation that calls a member of its call.
template <typename Call, void (Call::*kMember)(bool)>
class Tag final : public Operation {
 public:
  explicit Tag(Call* call) : call_(call) {}
  void complete(bool ok) override { (call_->*kMember)(ok); }

 private:
  Call* call_;
};

// What both kinds of calls do: ask for the next one, know whether the client is gone, and end when all is over.
template <typename Derived>
class Call {
 protected:
  Call(Core& core, AsyncPart& service, grpc::ServerCompletionQueue& queue)
      : core_(core), service_(service), queue_(queue) {
    context_.AsyncNotifyWhenDone(&over_tag_);
  }
  ~Call() = default;

  void arrived(bool ok) {
    if (!ok) {  // the queue is being shut down; over() will not come
      delete static_cast<Derived*>(this);
      return;
    }
    new Derived(core_, service_, queue_);
    static_cast<Derived*>(this)->begin(core_.auth.check(Access::kUse, metadata_of(context_, "authorization")));
  }
  // Before anything can go wrong with the request.
  void observe(MessageJob& job) {
    job.request.model = job.message->model_name();
    job.request.id = job.message->id();
    core_.observer.begin(job, metadata_of(context_, "traceparent"), metadata_of(context_, "tracestate"));
  }
  void finished(bool) { release(); }
  void over(bool) {
    cancelled_ = context_.IsCancelled();
    release();
  }
  void release() {
    if (--events_ == 0) delete static_cast<Derived*>(this);
  }

  Core& core_;
  AsyncPart& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int> events_{2};  // finished() and over(), in any order, on any thread
  Tag<Call, &Call::arrived> arrived_tag_{this};
  Tag<Call, &Call::finished> finished_tag_{this};
  Tag<Call, &Call::over> over_tag_{this};
};

// ---- ModelInfer
// ----------------------------------------------------------------------------------------------------------------

class InferCall : public Call<InferCall> {
 public:
  InferCall(Core& core, AsyncPart& service, grpc::ServerCompletionQueue& queue)
      : Call(core, service, queue), responder_(&context_) {
    service.RequestModelInfer(&context_, message_.get(), &responder_, &queue, &queue, &arrived_tag_);
  }

 private:
  friend Call<InferCall>;

  class UnaryJob : public MessageJob {
   public:
    explicit UnaryJob(InferCall* call) : call_(call) {}
    bool cancelled() const override { return call_->cancelled_; }
    void done(const InferReply& reply) override {
      call_->core_.observer.end(*this, reply, "grpc");
      if (reply.fault) return call_->responder_.FinishWithError(grpc_status(*reply.fault), &call_->finished_tag_);
      write_message(*this, reply, &call_->response_);
      call_->responder_.Finish(call_->response_, grpc::Status::OK, &call_->finished_tag_);
    }

   private:
    InferCall* call_;
  };

  void begin(MaybeFault refused) {
    auto job = std::make_unique<UnaryJob>(this);
    job->message = std::move(message_);
    observe(*job);
    if (job->trace) context_.AddInitialMetadata("traceparent", job->trace->traceparent());
    if (!refused) refused = read_message(core_, *job);
    if (refused) return job->done({.fault = &*refused});
    core_.infer(std::move(job), true);
  }

  std::unique_ptr<inference::ModelInferRequest> message_ = std::make_unique<inference::ModelInferRequest>();
  inference::ModelInferResponse response_;
  grpc::ServerAsyncResponseWriter<inference::ModelInferResponse> responder_;
};

// ---- ModelStreamInfer
// ----------------------------------------------------------------------------------------------------------

// Requests are read while others run; answers go out one by one as they come. A request that is refused is answered by
// a message with its reason, and the stream goes on.
class StreamCall : public Call<StreamCall> {
 public:
  StreamCall(Core& core, AsyncPart& service, grpc::ServerCompletionQueue& queue)
      : Call(core, service, queue), stream_(&context_) {
    service.RequestModelStreamInfer(&context_, &stream_, &queue, &queue, &arrived_tag_);
  }

 private:
  friend Call<StreamCall>;

  // Requests of one stream that may be under way; more are left in the connection until some are answered.
  static constexpr size_t kMaxUnderWay = 1024;

  class StreamJob : public MessageJob {
   public:
    explicit StreamJob(StreamCall* call) : call_(call) {}
    bool cancelled() const override { return call_->cancelled_; }
    void done(const InferReply& reply) override {
      call_->core_.observer.end(*this, reply, "grpc-stream");
      auto message = std::make_unique<inference::ModelStreamInferResponse>();
      if (reply.fault) {
        message->set_error_message(reply.fault->text);
        message->mutable_infer_response()->set_id(request.id);
      } else {
        write_message(*this, reply, message->mutable_infer_response());
        // Every model here gives one response a request.
        (*message->mutable_infer_response()->mutable_parameters())["triton_final_response"].set_bool_param(true);
      }
      call_->answer(std::move(message));
    }

   private:
    StreamCall* call_;
  };

  void begin(const MaybeFault& refused) {
    if (refused) return stream_.Finish(grpc_status(*refused), &finished_tag_);
    read();
  }

  void read() {
    incoming_ = std::make_unique<inference::ModelInferRequest>();
    stream_.Read(incoming_.get(), &read_tag_);
  }

  void read_done(bool ok) {
    if (!ok) {
      std::unique_lock lock(mutex_);
      reading_ = false;
      step(lock);
      return;
    }
    auto job = std::make_unique<StreamJob>(this);
    job->message = std::move(incoming_);
    observe(*job);
    bool more;
    {
      std::lock_guard lock(mutex_);
      more = ++under_way_ < kMaxUnderWay;
      paused_ = !more;
    }
    const auto refused = read_message(core_, *job);
    if (refused) {
      job->done({.fault = &*refused});
    } else {
      core_.infer(std::move(job), true);
    }
    // The call is still there: it ends only after a read that fails.
    if (more) read();
  }

  void answer(std::unique_ptr<inference::ModelStreamInferResponse> message) {
    std::unique_lock lock(mutex_);
    --under_way_;
    out_.push_back(std::move(message));
    const bool resume = paused_ && under_way_ < kMaxUnderWay / 2;
    if (resume) paused_ = false;
    step(lock);
    if (resume) read();
  }

  void write_done(bool) {
    std::unique_lock lock(mutex_);
    writing_ = false;
    out_.pop_front();
    step(lock);
  }

  // Starts what can be started. A write to a stream that is gone fails at once, so the queue of answers always empties.
  void step(std::unique_lock<std::mutex>& lock) {
    if (!writing_ && !out_.empty()) {
      writing_ = true;
      const auto* message = out_.front().get();
      lock.unlock();
      stream_.Write(*message, &write_tag_);
    } else if (!writing_ && !reading_ && under_way_ == 0 && !finishing_) {
      finishing_ = true;
      lock.unlock();
      stream_.Finish(grpc::Status::OK, &finished_tag_);
    } else {
      lock.unlock();
    }
  }

  grpc::ServerAsyncReaderWriter<inference::ModelStreamInferResponse, inference::ModelInferRequest> stream_;
  std::unique_ptr<inference::ModelInferRequest> incoming_;
  std::mutex mutex_;
  std::deque<std::unique_ptr<inference::ModelStreamInferResponse>> out_;  // the first is being written if writing_
  size_t under_way_ = 0;
  bool reading_ = true, writing_ = false, paused_ = false, finishing_ = false;
  Tag<StreamCall, &StreamCall::read_done> read_tag_{this};
  Tag<StreamCall, &StreamCall::write_done> write_tag_{this};
};

}  // namespace

grpc::Status grpc_status(const Fault& fault) {
  const auto code = [&] {
    switch (fault.kind) {
      case Kind::kInvalid:
      case Kind::kTooLarge:
        return grpc::StatusCode::INVALID_ARGUMENT;
      case Kind::kNotFound:
        return grpc::StatusCode::NOT_FOUND;
      case Kind::kUnavailable:
        return grpc::StatusCode::UNAVAILABLE;
      case Kind::kUnsupported:
        return grpc::StatusCode::UNIMPLEMENTED;
      case Kind::kExists:
        return grpc::StatusCode::ALREADY_EXISTS;
      case Kind::kCancelled:
        return grpc::StatusCode::CANCELLED;
      case Kind::kUnauthenticated:
        return grpc::StatusCode::UNAUTHENTICATED;
      case Kind::kForbidden:
        return grpc::StatusCode::PERMISSION_DENIED;
      case Kind::kInternal:
        break;
    }
    return grpc::StatusCode::INTERNAL;
  }();
  return {code, fault.text};
}

std::string_view metadata_of(const grpc::ServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end() ? std::string_view()
                                                  : std::string_view(found->second.data(), found->second.size());
}

// Each deletes itself when its call is over.
void await_calls(Core& core, AsyncPart& service, grpc::ServerCompletionQueue& queue) {
  new InferCall(core, service, queue);
  new StreamCall(core, service, queue);
}

void serve_calls(grpc::ServerCompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<Operation*>(tag)->complete(ok);
}

}  // namespace carnot::serve
