/* The keys: an array, and an index of it by hash. Nobody sees the order of the hashes. */
#include "tests/simulation/redis_model_inside.h"

#include "runtime/redis/slot.h"

struct text *text_of(struct slice bytes)
{
    struct text *text = malloc(sizeof(*text) + bytes.n + 1);
    if (text == NULL)
        abort();
    *text = (struct text){.refs = 1, .n = bytes.n};
    if (bytes.n != 0)
        memcpy(text->p, bytes.p, bytes.n);
    text->p[bytes.n] = 0;
    return text;
}

void text_drop(struct text *text)
{
    if (--text->refs == 0)
        free(text);
}

uint64_t now_ms(const struct redis_model *model)
{
    return model->now_us / 1000;
}

/* FNV-1a */
static uint32_t hash_of(struct slice name)
{
    uint32_t hash = 2166136261;
    for (size_t i = 0; i != name.n; ++i)
        hash = (hash ^ (unsigned char)name.p[i]) * 16777619;
    return hash;
}

/* ---- the index ---- */

/* Where the key of this number stands, or where a search for it ends. */
static uint32_t *place_of(const struct redis_model *model, uint32_t hash, size_t number)
{
    size_t i = hash & (model->index_room - 1);
    while (model->index[i] != 0 && model->index[i] != number + 1)
        i = (i + 1) & (model->index_room - 1);
    return &model->index[i];
}

static void grow(struct redis_model *model)
{
    model->room = model->room == 0 ? 16 : model->room * 2;
    model->keys = realloc(model->keys, model->room * sizeof(*model->keys));
    free(model->index);
    model->index_room = model->room * 2;
    model->index = calloc(model->index_room, sizeof(*model->index));
    if (model->keys == NULL || model->index == NULL)
        abort();
    for (size_t i = 0; i != model->count; ++i)
        *place_of(model, model->keys[i].hash, i) = (uint32_t)(i + 1);
}

/* Takes a place out of the index; those behind it that were displaced move up. */
static void free_place(struct redis_model *model, uint32_t *place)
{
    size_t mask = model->index_room - 1, hole = (size_t)(place - model->index);
    for (size_t i = (hole + 1) & mask; model->index[i] != 0; i = (i + 1) & mask) {
        size_t home = model->keys[model->index[i] - 1].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            model->index[hole] = model->index[i];
            hole = i;
        }
    }
    model->index[hole] = 0;
}

/* ---- keys ---- */

void key_drop_value(struct key *key)
{
    if (key->kind == KIND_STRING)
        text_drop(key->text);
    else if (key->kind == KIND_STREAM)
        stream_drop(key->stream);
}

void key_remove(struct redis_model *model, struct key *key)
{
    size_t number = (size_t)(key - model->keys), last = --model->count;
    key_drop_value(key);
    text_drop(key->name);
    free_place(model, place_of(model, key->hash, number));
    if (number != last) {
        *place_of(model, model->keys[last].hash, last) = (uint32_t)(number + 1);
        model->keys[number] = model->keys[last];
    }
}

struct key *key_find_expired(struct redis_model *model, struct slice name)
{
    uint32_t hash = hash_of(name);
    if (model->count == 0)
        return NULL;
    for (size_t i = hash & (model->index_room - 1); model->index[i] != 0; i = (i + 1) & (model->index_room - 1)) {
        struct key *key = &model->keys[model->index[i] - 1];
        if (key->hash == hash && slice_eq(text_slice(key->name), name))
            return key;
    }
    return NULL;
}

/* A replica leaves the removal to its primary. */
struct key *key_find(struct redis_model *model, struct slice name)
{
    struct key *key = key_find_expired(model, name);
    if (key == NULL || key->expires_ms == NEVER || (int64_t)now_ms(model) <= key->expires_ms)
        return key;
    if (!model->readonly)
        key_remove(model, key);
    return NULL;
}

struct key *key_put(struct redis_model *model, struct slice name)
{
    struct key *key = key_find_expired(model, name);
    if (key != NULL) {
        key_drop_value(key);
        key->expires_ms = NEVER;
        return key;
    }
    if (model->count == model->room)
        grow(model);
    key = &model->keys[model->count++];
    *key = (struct key){.name = text_of(name), .hash = hash_of(name), .slot = slot_of(name), .expires_ms = NEVER};
    *place_of(model, key->hash, model->count - 1) = (uint32_t)model->count;
    return key;
}

void keys_flush(struct redis_model *model)
{
    while (model->count != 0) {
        struct key *key = &model->keys[--model->count];
        key_drop_value(key);
        text_drop(key->name);
    }
    if (model->index_room != 0)
        memset(model->index, 0, model->index_room * sizeof(*model->index));
}

void redis_model_expire(struct redis_model *model)
{
    for (size_t i = model->count; i-- != 0 && !model->readonly;)
        if (model->keys[i].expires_ms != NEVER && (int64_t)now_ms(model) > model->keys[i].expires_ms)
            key_remove(model, &model->keys[i]);
}
