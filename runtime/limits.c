#include "runtime/limits.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "runtime/h2o.h"
#include "runtime/seeded_hash.h"

enum {
    SHARDS = 64, /* parts of the table, each with its own lock */
    IDLE_MAX = LIMITS_IDLE_MAX / SHARDS, /* of a part */
    FORGET_PER_USE = 2, /* so that a part shrinks faster than it grows, and no use of it takes long */
    RETRY_PLACE_S = 5, /* nobody knows when a place will be free */
    SECOND_US = 1000000,
};

enum rate { RATE_STREAM, RATE_PUBLISH, RATE_CHANNEL, RATES };

enum holder { HOLDER_ADDRESS, HOLDER_SUBJECT };

/* The first bytes of a subject's digest, or an address. */
struct key {
    uint8_t bytes[16];
    uint64_t holder; /* enum holder, so wide that there is no padding: the struct is hashed as it stands */
};

/* A token bucket is one number: the time at which it would be full again, if nothing more is taken out. An entry whose buckets are full and
 * that has no stream says nothing that a new one would not, so it may go. */
struct entry {
    struct key key;
    uint32_t streams;
    uint64_t full_us[RATES];
    struct shard *shard;
    h2o_linklist_t idle; /* linked: no stream; in the order of their last use */
    UT_hash_handle hh;
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries; /* uthash */
    h2o_linklist_t idle;
    size_t idle_count;
};

struct limits {
    struct limits_options options;
    uint64_t step_us[RATES]; /* what one use takes out of a bucket; 0: no limit */
    atomic_size_t streams;
    struct shard shards[SHARDS];
};

struct limits_place {
    struct limits *limits;
    struct entry *address, *subject; /* NULL where there is no such limit */
};

struct limits *limits_create(const struct limits_options *options)
{
    struct limits *limits = h2o_mem_alloc(sizeof(*limits));
    memset(limits, 0, sizeof(*limits));
    limits->options = *options;
    const int64_t rates[] = {
        [RATE_STREAM] = options->stream_rate, [RATE_PUBLISH] = options->publish_rate, [RATE_CHANNEL] = options->channel_rate};
    for (size_t i = 0; i < RATES; ++i)
        limits->step_us[i] = rates[i] == 0 ? 0 : SECOND_US / (uint64_t)rates[i];
    for (size_t i = 0; i < SHARDS; ++i) {
        pthread_mutex_init(&limits->shards[i].lock, NULL);
        h2o_linklist_init_anchor(&limits->shards[i].idle);
    }
    return limits;
}

bool limits_on_streams(const struct limits *limits)
{
    const struct limits_options *options = &limits->options;
    return options->streams != 0 || options->address_streams != 0 || options->subject_streams != 0 || options->stream_rate != 0;
}

bool limits_on_publishing(const struct limits *limits)
{
    return limits->options.publish_rate != 0;
}

/* ---- entries; all with the shard's lock held ---- */

static void drop(struct shard *shard, struct entry *entry)
{
    h2o_linklist_unlink(&entry->idle);
    --shard->idle_count;
    HASH_DEL(shard->entries, entry);
    free(entry);
}

static bool is_full(const struct entry *entry, uint64_t now_us)
{
    bool full = true;
    for (size_t i = 0; i < RATES; ++i)
        full = full && entry->full_us[i] <= now_us;
    return full;
}

static void forget(struct shard *shard, uint64_t now_us)
{
    for (int i = 0; i < FORGET_PER_USE && !h2o_linklist_is_empty(&shard->idle); ++i) {
        struct entry *oldest = H2O_STRUCT_FROM_MEMBER(struct entry, idle, shard->idle.next);
        if (shard->idle_count <= IDLE_MAX && !is_full(oldest, now_us))
            break;
        drop(shard, oldest);
    }
}

static struct entry *find_or_create(struct shard *shard, const struct key *key)
{
    struct entry *entry;
    HASH_FIND(hh, shard->entries, key, sizeof(*key), entry);
    if (entry != NULL)
        return entry;
    entry = h2o_mem_alloc(sizeof(*entry));
    *entry = (struct entry){.key = *key, .shard = shard};
    HASH_ADD(hh, shard->entries, key, sizeof(entry->key), entry);
    h2o_linklist_insert(&shard->idle, &entry->idle);
    ++shard->idle_count;
    return entry;
}

/* It was used, or lost a stream: the last of those without a stream to be forgotten. Unlocks the shard; the entry may be gone then. */
static void settle_and_unlock(struct entry *entry, uint64_t now_us)
{
    struct shard *shard = entry->shard;
    if (h2o_linklist_is_linked(&entry->idle)) {
        h2o_linklist_unlink(&entry->idle);
        --shard->idle_count;
    }
    if (entry->streams == 0) {
        h2o_linklist_insert(&shard->idle, &entry->idle);
        ++shard->idle_count;
    }
    forget(shard, now_us);
    pthread_mutex_unlock(&shard->lock);
}

/* What a full bucket holds of this amount: more than that is let in by a full one, which is in debt then. */
static uint64_t at_once(uint64_t amount_us)
{
    uint64_t most_us = LIMITS_BURST_S * (uint64_t)SECOND_US;
    return amount_us < most_us ? amount_us : most_us;
}

/* 0, or the seconds until so much as `wanted_us`, which is not less, can be taken out. */
static unsigned take(struct entry *entry, enum rate rate, uint64_t amount_us, uint64_t wanted_us, uint64_t now_us)
{
    uint64_t from_us = entry->full_us[rate] > now_us ? entry->full_us[rate] : now_us;
    uint64_t limit_us = now_us + LIMITS_BURST_S * (uint64_t)SECOND_US;
    if (from_us + at_once(amount_us) > limit_us)
        return (unsigned)((from_us + at_once(wanted_us) - limit_us + SECOND_US - 1) / SECOND_US);
    entry->full_us[rate] = from_us + amount_us;
    return 0;
}

/* ---- places ---- */

static struct shard *shard_of(struct limits *limits, const struct key *key)
{
    return &limits->shards[seeded_hash(key, sizeof(*key)) >> 58];
}

/* Its shard is locked from now on. */
static struct entry *lock_entry(struct limits *limits, const struct key *key)
{
    struct shard *shard = shard_of(limits, key);
    pthread_mutex_lock(&shard->lock);
    return find_or_create(shard, key);
}

static struct key address_key(const struct client_address *client)
{
    struct client_address network = client_address_network(*client);
    struct key key = {.holder = HOLDER_ADDRESS};
    memcpy(key.bytes, network.bytes, sizeof(key.bytes));
    return key;
}

static struct key subject_key(struct slice subject)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct key key = {.holder = HOLDER_SUBJECT};
    if (EVP_Digest(subject.p, subject.n, digest, NULL, EVP_sha256(), NULL) != 1)
        h2o_fatal("SHA-256");
    memcpy(key.bytes, digest, sizeof(key.bytes));
    return key;
}

static enum limit enter_address(struct limits *limits, const struct client_address *client, uint64_t now_us, struct entry **out,
                                unsigned *retry_s)
{
    struct key key = address_key(client);
    enum limit limit = LIMIT_NONE;
    struct entry *entry = lock_entry(limits, &key);
    if (limits->options.address_streams != 0 && entry->streams >= (uint64_t)limits->options.address_streams) {
        limit = LIMIT_ADDRESS_STREAMS;
        *retry_s = RETRY_PLACE_S;
    } else if (limits->step_us[RATE_STREAM] != 0 &&
               (*retry_s = take(entry, RATE_STREAM, limits->step_us[RATE_STREAM], limits->step_us[RATE_STREAM], now_us)) != 0) {
        limit = LIMIT_STREAM_RATE;
    } else {
        ++entry->streams;
        *out = entry;
    }
    settle_and_unlock(entry, now_us);
    return limit;
}

static void leave_entry(struct entry *entry, uint64_t now_us)
{
    if (entry == NULL)
        return;
    pthread_mutex_lock(&entry->shard->lock);
    --entry->streams;
    settle_and_unlock(entry, now_us);
}

enum limit limits_enter(struct limits *limits, const struct client_address *client, uint64_t now_us, struct limits_place **place,
                        unsigned *retry_s)
{
    struct entry *address = NULL;
    size_t max = (size_t)limits->options.streams;
    if (atomic_fetch_add_explicit(&limits->streams, 1, memory_order_relaxed) >= max && max != 0) {
        atomic_fetch_sub_explicit(&limits->streams, 1, memory_order_relaxed);
        *retry_s = RETRY_PLACE_S;
        return LIMIT_STREAMS;
    }
    enum limit limit = LIMIT_NONE;
    if (limits->options.address_streams != 0 || limits->options.stream_rate != 0)
        limit = enter_address(limits, client, now_us, &address, retry_s);
    if (limit != LIMIT_NONE) {
        atomic_fetch_sub_explicit(&limits->streams, 1, memory_order_relaxed);
        return limit;
    }
    *place = h2o_mem_alloc(sizeof(**place));
    **place = (struct limits_place){.limits = limits, .address = address};
    return LIMIT_NONE;
}

enum limit limits_enter_subject(struct limits_place *place, struct slice subject, unsigned *retry_s)
{
    uint64_t max = (uint64_t)place->limits->options.subject_streams;
    if (max == 0 || subject.n == 0)
        return LIMIT_NONE;
    struct key key = subject_key(subject);
    struct entry *entry = lock_entry(place->limits, &key);
    bool has_place = entry->streams < max;
    if (has_place) {
        ++entry->streams;
        place->subject = entry;
    }
    settle_and_unlock(entry, 0); /* none is forgotten but those above IDLE_MAX */
    *retry_s = RETRY_PLACE_S;
    return has_place ? LIMIT_NONE : LIMIT_SUBJECT_STREAMS;
}

void limits_leave(struct limits_place *place, uint64_t now_us)
{
    if (place == NULL)
        return;
    leave_entry(place->address, now_us);
    leave_entry(place->subject, now_us);
    atomic_fetch_sub_explicit(&place->limits->streams, 1, memory_order_relaxed);
    free(place);
}

/* 0, or the seconds to wait; see take(). */
static unsigned use(struct limits *limits, const struct client_address *client, enum rate rate, uint64_t amount_us,
                    uint64_t wanted_us, uint64_t now_us)
{
    struct key key = address_key(client);
    struct entry *entry = lock_entry(limits, &key);
    unsigned retry_s = take(entry, rate, amount_us, wanted_us, now_us);
    settle_and_unlock(entry, now_us);
    return retry_s;
}

enum limit limits_publish(struct limits *limits, const struct client_address *client, uint64_t now_us, unsigned *retry_s)
{
    uint64_t step_us = limits->step_us[RATE_PUBLISH];
    *retry_s = use(limits, client, RATE_PUBLISH, step_us, step_us, now_us);
    return *retry_s == 0 ? LIMIT_NONE : LIMIT_PUBLISH_RATE;
}

void limits_publish_more(struct limits *limits, const struct client_address *client, uint32_t events, uint64_t now_us)
{
    struct key key = address_key(client);
    struct entry *entry = lock_entry(limits, &key);
    uint64_t *full_us = &entry->full_us[RATE_PUBLISH];
    *full_us = (*full_us > now_us ? *full_us : now_us) + events * limits->step_us[RATE_PUBLISH];
    settle_and_unlock(entry, now_us);
}

uint32_t limits_channels_left(struct limits *limits, const struct client_address *client, uint64_t now_us)
{
    uint64_t step_us = limits->step_us[RATE_CHANNEL], limit_us = now_us + LIMITS_BURST_S * (uint64_t)SECOND_US, from_us = now_us;
    if (step_us == 0)
        return UINT32_MAX;
    struct key key = address_key(client);
    struct shard *shard = shard_of(limits, &key);
    struct entry *entry;
    pthread_mutex_lock(&shard->lock);
    HASH_FIND(hh, shard->entries, &key, sizeof(key), entry);
    if (entry != NULL && entry->full_us[RATE_CHANNEL] > now_us)
        from_us = entry->full_us[RATE_CHANNEL];
    pthread_mutex_unlock(&shard->lock);
    if (from_us == now_us)
        return UINT32_MAX;
    return from_us < limit_us ? (uint32_t)((limit_us - from_us) / step_us) : 0;
}

enum limit limits_channels(struct limits *limits, const struct client_address *client, uint32_t fresh, uint32_t count,
                           uint64_t now_us, unsigned *retry_s)
{
    uint64_t step_us = limits->step_us[RATE_CHANNEL];
    *retry_s = 0;
    if (fresh * step_us != 0)
        *retry_s = use(limits, client, RATE_CHANNEL, fresh * step_us, count * step_us, now_us);
    return *retry_s == 0 ? LIMIT_NONE : LIMIT_CHANNEL_RATE;
}

const char *limit_sentence(enum limit limit)
{
    static const char *const sentences[] = {
        [LIMIT_STREAMS] = "too many streams on this gateway (MAX_STREAMS)",
        [LIMIT_ADDRESS_STREAMS] = "too many streams from your address; several channels can share one: /subscribe",
        [LIMIT_SUBJECT_STREAMS] = "too many streams of the subject of your token; several channels can share one: /subscribe",
        [LIMIT_CONNECTION_STREAMS] = "more than 90 streams on one HTTP/2 connection; open another connection, or use /subscribe",
        [LIMIT_STREAM_RATE] = "too many new streams from your address; retry later",
        [LIMIT_PUBLISH_RATE] = "too many publish requests from your address; retry later",
        [LIMIT_CHANNEL_RATE] = "too many new channels from your address; retry later",
        [LIMIT_CHANNELS] = CHANNELS_SENTENCE,
    };
    return sentences[limit];
}

size_t limits_entries(struct limits *limits)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; ++i) {
        pthread_mutex_lock(&limits->shards[i].lock);
        count += HASH_COUNT(limits->shards[i].entries);
        pthread_mutex_unlock(&limits->shards[i].lock);
    }
    return count;
}

void limits_free(struct limits *limits)
{
    for (size_t i = 0; i < SHARDS; ++i) {
        struct shard *shard = &limits->shards[i];
        while (!h2o_linklist_is_empty(&shard->idle))
            drop(shard, H2O_STRUCT_FROM_MEMBER(struct entry, idle, shard->idle.next));
        pthread_mutex_destroy(&shard->lock);
    }
    free(limits);
}
