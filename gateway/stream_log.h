/* The log of streams: one line when a stream opens, resumes, is refused or closes. At debug, or at info with LOG_STREAMS=on. Any thread. */
#pragma once

#include "gateway/counters.h"
#include "gateway/messages.h"
#include "runtime/net/client_address.h"

/* Before threads start, after log_set_level(). */
void stream_log_init(bool at_info);

/* What is known of a stream when it is asked for; all borrowed for the call. */
struct stream_facts {
    const struct slice *channels;
    uint32_t count;
    struct client_address client;
    const char *protocol; /* static */
    struct slice subject; /* of its token; {NULL, 0}: none */
    enum start_mode mode;
    struct slice last_event_id; /* START_RESUME */
};

void stream_log_refused(const struct stream_facts *facts, const struct refusal *why);

/* One open stream, until stream_log_closed(). NULL: streams are not logged. */
struct stream_log *stream_log_opened(const struct stream_facts *facts);

/* Its transport's last word: so many bytes went to the client. `log` may be NULL. */
void stream_log_bytes(struct stream_log *log, uint64_t bytes);

/* Writes the line and frees the log, which may be NULL. */
void stream_log_closed(struct stream_log *log, enum close_reason reason);
