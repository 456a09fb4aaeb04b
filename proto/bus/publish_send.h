/* One publish on its way. Its command is kept until the answer, since it may have to be sent again. */
#pragma once

#include "proto/bus/publish_request.h"
#include "runtime/redis/wait_replicas.h"

struct publish_shard;

struct publish_send {
    publish_cb cb;
    void *data;
    uint16_t slot; /* of its channel */
    struct publish_shard *shard; /* where it was sent to */
    bool repeated; /* since our library was not there */
    struct wait_replicas_item held;
    struct publish_answer answer; /* while it is held; its ids are in `bytes` */
    h2o_linklist_t link; /* while it waits to be sent, or to be sent again */
    uint64_t refused_ms; /* when it was first told to come again; 0: it was not */
    uint64_t delay_ms, due_ms; /* how long it waits, and until when */
    size_t events; /* of a batch; 0: it is a single event */
    size_t size; /* the memory that the command takes */
    size_t room;
    char *bytes; /* of the command's texts, `room` of them; once it is answered, of the ids */
    size_t argc;
    struct slice argv[]; /* the command; once a batch is answered, its ids */
};

struct publish_send *publish_send_create(const struct publish_request *request, publish_cb cb, void *data);
struct publish_send *publish_send_create_many(const struct publish_request *request, const struct publish_event *const *events,
                                              size_t count, publish_cb cb, void *data);

/* Both call back and free it. */
void publish_send_answer(struct publish_send *send, const struct publish_answer *answer);
void publish_send_fail(struct publish_send *send, enum publish_outcome outcome, const char *why);
