#include "operator/kubernetes/objects.hpp"

namespace dbproxy::kubernetes {
namespace {

Request write(std::string method, std::string target, const json::object& body, std::string content_type) {
  Request request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = json::serialize(body);
  request.content_type = std::move(content_type);
  return request;
}

}  // namespace

Outcome<json::object> get(Client& client, const ObjectRef& ref, Canceller* canceller) {
  Request request;
  request.target = path_of(ref.resource, ref.name_space, ref.name);
  return client.send_json(request, canceller);
}

Outcome<json::object> create(Client& client, const ObjectRef& ref, const json::object& object, Canceller* canceller,
                             std::chrono::milliseconds timeout) {
  Request request = write("POST", path_of(ref.resource, ref.name_space), object, "application/json");
  request.timeout = timeout;
  return client.send_json(request, canceller);
}

Outcome<json::object> replace(Client& client, const ObjectRef& ref, const json::object& object, Canceller* canceller,
                              std::chrono::milliseconds timeout) {
  Request request = write("PUT", path_of(ref.resource, ref.name_space, ref.name), object, "application/json");
  request.timeout = timeout;
  return client.send_json(request, canceller);
}

Outcome<json::object> apply(Client& client, const ObjectRef& ref, const json::object& object, std::string_view manager,
                            std::string_view subresource, Canceller* canceller) {
  const std::string target = path_of(ref.resource, ref.name_space, ref.name, subresource) +
                             query_text({{"fieldManager", std::string(manager)}, {"force", "true"}});
  return client.send_json(write("PATCH", target, object, "application/apply-patch+yaml"), canceller);
}

Outcome<json::object> merge_patch(Client& client, const ObjectRef& ref, const json::object& patch,
                                  Canceller* canceller) {
  const std::string target = path_of(ref.resource, ref.name_space, ref.name);
  return client.send_json(write("PATCH", target, patch, "application/merge-patch+json"), canceller);
}

}  // namespace dbproxy::kubernetes
