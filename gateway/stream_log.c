#include "gateway/stream_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/monotonic.h"

enum { CHANNELS_MAX_BYTES = 1024 }; /* of the names in a line; the log cuts a longer value, too */

struct stream_log {
    char id[32]; /* of the stream, among those of all processes */
    uint64_t opened_ms;
    uint64_t bytes;
    struct client_address client;
    const char *protocol;
    enum start_mode mode;
    struct slice subject, channels; /* in text[] */
    char text[];
};

static enum log_level level = LOG_DEBUG;
static bool wanted;
static uint32_t process; /* by chance */
static _Atomic uint64_t last_number; /* of its streams */

void stream_log_init(bool at_info)
{
    level = at_info ? LOG_INFO : LOG_DEBUG;
    wanted = log_wants(level);
    process = arc4random();
}

/* The names with commas between them, as far as they fit. */
static struct slice join(const struct stream_facts *facts, char out[CHANNELS_MAX_BYTES])
{
    size_t n = 0;
    for (uint32_t i = 0; i < facts->count && n + 1 + facts->channels[i].n <= CHANNELS_MAX_BYTES; ++i) {
        if (i != 0)
            out[n++] = ',';
        memcpy(out + n, facts->channels[i].p, facts->channels[i].n);
        n += facts->channels[i].n;
    }
    return slice_make(out, n);
}

/* The fields that every line of a stream has. */
#define COMMON(of, names, address)                                                                 \
    log_slice("channels", names), log_str("client", client_address_print(&(of)->client, address)), \
        log_str("protocol", (of)->protocol), log_slice("subject", (of)->subject), log_str("mode", modes[(of)->mode])

static const char *const modes[] = {
    [START_FRESH] = "fresh", [START_LAST] = "last", [START_EARLIEST] = "earliest", [START_RESUME] = "resume"};

void stream_log_refused(const struct stream_facts *facts, const struct refusal *why)
{
    char names[CHANNELS_MAX_BYTES], address[CLIENT_ADDRESS_TEXT_MAX];
    if (wanted)
        LOG_AT(level, "stream refused", log_int("status", why->status), log_str("why", why->sentence),
               COMMON(facts, join(facts, names), address));
}

struct stream_log *stream_log_opened(const struct stream_facts *facts)
{
    char names[CHANNELS_MAX_BYTES], address[CLIENT_ADDRESS_TEXT_MAX];
    if (!wanted)
        return NULL;
    struct slice channels = join(facts, names);
    struct stream_log *log = h2o_mem_alloc(sizeof(*log) + channels.n + facts->subject.n);
    *log = (struct stream_log){.opened_ms = monotonic_ms(),
                               .client = facts->client,
                               .protocol = facts->protocol,
                               .mode = facts->mode,
                               .channels = {log->text, channels.n},
                               .subject = {log->text + channels.n, facts->subject.n}};
    snprintf(log->id, sizeof(log->id), "%08" PRIx32 "-%" PRIu64, process, atomic_fetch_add(&last_number, 1) + 1);
    memcpy(log->text, channels.p, channels.n);
    if (facts->subject.n != 0)
        memcpy(log->text + channels.n, facts->subject.p, facts->subject.n);
    if (facts->mode == START_RESUME)
        LOG_AT(level, "stream resumed", log_str("stream", log->id), COMMON(log, log->channels, address),
               log_slice("last_event_id", facts->last_event_id));
    else
        LOG_AT(level, "stream opened", log_str("stream", log->id), COMMON(log, log->channels, address));
    return log;
}

void stream_log_bytes(struct stream_log *log, uint64_t bytes)
{
    if (log != NULL)
        log->bytes = bytes;
}

void stream_log_closed(struct stream_log *log, enum close_reason reason)
{
    char address[CLIENT_ADDRESS_TEXT_MAX];
    if (log == NULL)
        return;
    LOG_AT(level, "stream closed", log_str("stream", log->id), log_slice("reason", counters_close_reason(reason)),
           log_int("seconds", (int64_t)(monotonic_ms() - log->opened_ms) / 1000), log_int("bytes", (int64_t)log->bytes),
           COMMON(log, log->channels, address));
    free(log);
}
