/* The lists as streams (KEP-5825): what the unary call would answer, in pieces that fit any message limit. */
#include "cri/serve.h"

#include "cri/pack.h"

#include <string.h>

/* A piece ends with the item that passes this. */
#define PIECE_BYTES KIB(64)

/* protobuf-c's form of "one repeated field", which the replies of both kinds have. */
struct list_reply {
	ProtobufCMessage base;
	size_t n;
	ProtobufCMessage **items;
};

#define SAME_FORM(type, member)                                                                      \
	_Static_assert(offsetof(Runtime__V1__##type, n_##member) == offsetof(struct list_reply, n) && \
			       offsetof(Runtime__V1__##type, member) == offsetof(struct list_reply, items), \
		       #type " is not one list")
SAME_FORM(ListPodSandboxResponse, items);
SAME_FORM(StreamPodSandboxesResponse, pod_sandboxes);
SAME_FORM(ListContainersResponse, containers);
SAME_FORM(StreamContainersResponse, containers);
SAME_FORM(ListContainerStatsResponse, stats);
SAME_FORM(StreamContainerStatsResponse, container_stats);
SAME_FORM(ListPodSandboxStatsResponse, stats);
SAME_FORM(StreamPodSandboxStatsResponse, pod_sandbox_stats);
SAME_FORM(ListImagesResponse, images);
SAME_FORM(StreamImagesResponse, images);

/* The requests differ in name only. */
#define SAME_FILTER(a, b)                                                                              \
	_Static_assert(sizeof(Runtime__V1__##a) == sizeof(Runtime__V1__##b) &&                          \
			       offsetof(Runtime__V1__##a, filter) == offsetof(Runtime__V1__##b, filter) && \
			       __builtin_types_compatible_p(__typeof__(((Runtime__V1__##a *)0)->filter),     \
							    __typeof__(((Runtime__V1__##b *)0)->filter)),    \
		       #a " and " #b " filter alike")
SAME_FILTER(ListPodSandboxRequest, StreamPodSandboxesRequest);
SAME_FILTER(ListContainersRequest, StreamContainersRequest);
SAME_FILTER(ListContainerStatsRequest, StreamContainerStatsRequest);
SAME_FILTER(ListPodSandboxStatsRequest, StreamPodSandboxStatsRequest);
SAME_FILTER(ListImagesRequest, StreamImagesRequest);

/* The piece's memory goes with it: a slow reader costs one piece and what gRPC queues for it. */
static struct err *send_piece(struct rpc *r, const ProtobufCMessageDescriptor *d, ProtobufCMessage **items, size_t n)
{
	_arena_ struct arena a;
	struct list_reply piece = { .base = { .descriptor = d }, .n = n, .items = items };
	void *bytes;
	size_t len;

	arena_init(&a);
	TRY(pack_message(&a, &piece.base, &bytes, &len));
	return grpc_call_send(r->call, bytes, len);
}

static struct err *stream(struct rpc *r, rpc_handler *list, const ProtobufCMessageDescriptor *all,
			  const ProtobufCMessageDescriptor *piece, const void *request)
{
	struct list_reply found = { .base = { .descriptor = all } };
	size_t from = 0, bytes = 0;

	TRY(list(r, request, &found));
	rpc_stage(r, "sending the list");
	for (size_t i = 0; i < found.n; i++) {
		bytes += protobuf_c_message_get_packed_size(found.items[i]);
		if (bytes < PIECE_BYTES && i + 1 < found.n)
			continue;
		TRY(send_piece(r, piece, found.items + from, i + 1 - from));
		from = i + 1;
		bytes = 0;
	}
	return NULL;
}

#define STREAM(name, list, all, piece)                                                              \
	struct err *name(struct rpc *r, const void *request, void *reply)                            \
	{                                                                                            \
		(void)reply;                                                                         \
		return stream(r, list, &runtime__v1__##all##__descriptor, &runtime__v1__##piece##__descriptor, \
			      request);                                                              \
	}
STREAM(rpc_stream_pods, rpc_list_pods, list_pod_sandbox_response, stream_pod_sandboxes_response)
STREAM(rpc_stream_containers, rpc_list_containers, list_containers_response, stream_containers_response)
STREAM(rpc_stream_container_stats, rpc_list_container_stats, list_container_stats_response,
       stream_container_stats_response)
STREAM(rpc_stream_pod_stats, rpc_list_pod_stats, list_pod_sandbox_stats_response, stream_pod_sandbox_stats_response)
STREAM(rpc_stream_images, rpc_list_images, list_images_response, stream_images_response)
