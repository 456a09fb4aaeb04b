/* A stream: its live entries in order, and the nodes that Redis would keep them in, since approximate trimming cuts by whole nodes. A node's size is what Redis's
 * listpack takes, byte by byte: it decides when the next node begins. */
#include "tests/simulation/redis_model_inside.h"

enum {
    NODE_BYTES = 4096, /* stream-node-max-bytes */
    NODE_ENTRIES = 100, /* stream-node-max-entries */
    LISTPACK_EMPTY = 7,
};

/* ---- fields ---- */

static struct fields *fields_of(const struct slice *items, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i != count; ++i)
        bytes += items[i].n;
    struct fields *fields = malloc(sizeof(*fields) + count * sizeof(fields->size[0]) + bytes);
    if (fields == NULL)
        abort();
    char *at = (char *)&fields->size[count];
    *fields = (struct fields){.refs = 1, .count = (uint32_t)count, .bytes = bytes, .start = at};
    for (size_t i = 0; i != count; ++i) {
        fields->size[i] = items[i].n;
        if (items[i].n != 0)
            memcpy(at, items[i].p, items[i].n);
        at += items[i].n;
    }
    return fields;
}

void fields_drop(struct fields *fields)
{
    if (--fields->refs == 0)
        free(fields);
}

struct slice fields_at(const struct fields *fields, size_t number)
{
    const char *at = fields->start;
    if (number >= fields->count)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i != number; ++i)
        at += fields->size[i];
    return slice_make(at, fields->size[number]);
}

static bool same_names(const struct fields *one, const struct fields *other)
{
    bool same = one->count == other->count;
    for (size_t i = 0; same && i < one->count; i += 2)
        same = slice_eq(fields_at(one, i), fields_at(other, i));
    return same;
}

/* ---- the size of a listpack ---- */

static size_t with_length_behind(size_t n)
{
    return n + (n <= 127 ? 1 : n < 16383 ? 2 : n < 2097151 ? 3 : n < 268435455 ? 4 : 5);
}

static size_t size_of_integer(int64_t v)
{
    size_t n = v >= 0 && v <= 127                 ? 1
               : v >= -4096 && v <= 4095          ? 2
               : v >= INT16_MIN && v <= INT16_MAX ? 3
               : v >= -8388608 && v <= 8388607    ? 4
               : v >= INT32_MIN && v <= INT32_MAX ? 5
                                                  : 9;
    return with_length_behind(n);
}

static size_t size_of_text(struct slice text)
{
    int64_t integer;
    if (integer_of(text, &integer))
        return size_of_integer(integer);
    return with_length_behind(text.n + (text.n < 64 ? 1 : text.n < 4096 ? 2 : 5));
}

static size_t size_of_items(const struct fields *fields, size_t from)
{
    size_t size = 0;
    for (size_t i = from; i < fields->count; i += 2)
        size += size_of_text(fields_at(fields, i));
    return size;
}

static size_t size_of_master(const struct fields *fields)
{
    return LISTPACK_EMPTY + 3 * size_of_integer(0) + size_of_integer(fields->count / 2) + size_of_items(fields, 0);
}

static size_t size_of_entry(const struct node *node, struct position at, const struct fields *fields)
{
    size_t pairs = fields->count / 2;
    size_t size = size_of_integer(0) + size_of_integer((int64_t)(at.ms - node->first.ms)) +
                  size_of_integer((int64_t)(at.seq - node->first.seq)) + size_of_items(fields, 1);
    if (same_names(node->master, fields))
        return size + size_of_integer((int64_t)(pairs + 3));
    return size + size_of_integer((int64_t)pairs) + size_of_items(fields, 0) + size_of_integer((int64_t)(2 * pairs + 4));
}

/* ---- a stream's life ---- */

struct stream *stream_create(void)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        abort();
    stream->refs = 1;
    return stream;
}

void stream_drop(struct stream *stream)
{
    if (--stream->refs != 0)
        return;
    for (size_t i = stream->entries_from; i != stream->entries_end; ++i)
        fields_drop(stream->entries[i].fields);
    for (size_t i = stream->nodes_from; i != stream->nodes_end; ++i)
        fields_drop(stream->nodes[i].master);
    free(stream->entries);
    free(stream->nodes);
    free(stream);
}

/* A copy of items [from, end) of an array, with room for as many again. */
static void *copy_items(const void *items, size_t size, size_t from, size_t end, size_t *room)
{
    *room = (end - from) * 2 + 8;
    char *copy = malloc(*room * size);
    if (copy == NULL)
        abort();
    if (end != from)
        memcpy(copy, (const char *)items + from * size, (end - from) * size);
    return copy;
}

struct stream *stream_own(struct key *key)
{
    struct stream *old = key->stream;
    if (old->refs == 1)
        return old;
    struct stream *stream = stream_create();
    *stream = *old;
    stream->refs = 1;
    stream->entries = copy_items(old->entries, sizeof(*old->entries), old->entries_from, old->entries_end, &stream->entries_room);
    stream->nodes = copy_items(old->nodes, sizeof(*old->nodes), old->nodes_from, old->nodes_end, &stream->nodes_room);
    stream->entries_end -= stream->entries_from;
    stream->nodes_end -= stream->nodes_from;
    stream->entries_from = stream->nodes_from = 0;
    for (size_t i = 0; i != stream->entries_end; ++i)
        ++stream->entries[i].fields->refs;
    for (size_t i = 0; i != stream->nodes_end; ++i)
        ++stream->nodes[i].master->refs;
    --old->refs;
    key->stream = stream;
    return stream;
}

/* Room for one more item at the end of an array whose items are at [*from, *end). */
static void *make_room(void *items, size_t size, size_t *from, size_t *end, size_t *room)
{
    if (*end != *room)
        return items;
    void *copy = copy_items(items, size, *from, *end, room);
    free(items);
    *end -= *from;
    *from = 0;
    return copy;
}

/* ---- adding ---- */

static struct node *last_node(struct stream *stream)
{
    return stream->nodes_from == stream->nodes_end ? NULL : &stream->nodes[stream->nodes_end - 1];
}

static struct node *add_node(struct stream *stream, struct position at, struct fields *fields)
{
    stream->nodes = make_room(stream->nodes, sizeof(*stream->nodes), &stream->nodes_from, &stream->nodes_end, &stream->nodes_room);
    struct node *node = &stream->nodes[stream->nodes_end++];
    *node = (struct node){.first = at, .master = fields, .bytes = size_of_master(fields)};
    ++fields->refs;
    return node;
}

void stream_add(struct stream *stream, struct position at, const struct slice *items, size_t count)
{
    struct fields *fields = fields_of(items, count);
    struct node *node = last_node(stream);
    if (node == NULL || node->bytes + fields->bytes >= NODE_BYTES || node->live + node->dead >= NODE_ENTRIES)
        node = add_node(stream, at, fields);
    node->bytes += size_of_entry(node, at, fields);
    node->last = at;
    ++node->live;

    stream->entries =
        make_room(stream->entries, sizeof(*stream->entries), &stream->entries_from, &stream->entries_end, &stream->entries_room);
    stream->entries[stream->entries_end++] = (struct entry){at, fields};
    ++stream->added;
    stream->last = at;
    if (stream_length(stream) == 1)
        stream->first = at;
}

/* ---- removing ---- */

size_t stream_seek(const struct stream *stream, struct position at)
{
    size_t low = 0, high = stream_length(stream);
    while (low != high) {
        size_t middle = (low + high) / 2;
        if (position_compare(stream_entry(stream, middle)->at, at) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void drop_front(struct stream *stream, size_t count)
{
    while (count-- != 0)
        fields_drop(stream->entries[stream->entries_from++].fields);
}

/* Deletes within the first node what an exact trim does. */
static size_t trim_within(struct stream *stream, const struct trim *trim)
{
    struct node *node = &stream->nodes[stream->nodes_from];
    size_t excess = trim->by == TRIM_MAXLEN ? stream_length(stream) - trim->maxlen : stream_seek(stream, trim->minid);
    size_t count = excess < node->live ? excess : node->live;
    drop_front(stream, count);
    node->live -= (uint32_t)count;
    node->dead += (uint32_t)count;
    return count;
}

size_t stream_trim(struct stream *stream, const struct trim *trim)
{
    size_t deleted = 0;
    while (stream->nodes_from != stream->nodes_end) {
        struct node *node = &stream->nodes[stream->nodes_from];
        size_t length = stream_length(stream), live = node->live;
        if (trim->by == TRIM_MAXLEN && length <= trim->maxlen)
            break;
        if (trim->limit != 0 && (int64_t)(deleted + live) > trim->limit)
            break;
        if (trim->by == TRIM_MAXLEN ? length - live >= trim->maxlen : position_compare(node->last, trim->minid) < 0) {
            fields_drop(node->master);
            ++stream->nodes_from;
            drop_front(stream, live);
            deleted += live;
            continue;
        }
        if (!trim->approximate)
            deleted += trim_within(stream, trim);
        break;
    }
    if (stream_length(stream) == 0)
        stream->first = POSITION_NONE;
    else if (deleted != 0)
        stream->first = stream_entry(stream, 0)->at;
    return deleted;
}

bool stream_delete(struct stream *stream, struct position at)
{
    size_t number = stream_seek(stream, at), before = 0;
    if (number == stream_length(stream) || position_compare(stream_entry(stream, number)->at, at) != 0)
        return false;
    struct node *node = &stream->nodes[stream->nodes_from];
    while (before + node->live <= number)
        before += node++->live;
    struct entry *entry = &stream->entries[stream->entries_from + number];
    fields_drop(entry->fields);
    memmove(entry, entry + 1, (size_t)(&stream->entries[stream->entries_end] - (entry + 1)) * sizeof(*entry));
    --stream->entries_end;
    --node->live;
    ++node->dead;
    if (node->live == 0) {
        fields_drop(node->master);
        memmove(node, node + 1, (size_t)(&stream->nodes[stream->nodes_end] - (node + 1)) * sizeof(*node));
        --stream->nodes_end;
    }
    return true;
}
