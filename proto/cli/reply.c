#include "proto/cli/reply.h"

#include <stdint.h>
#include <yajl/yajl_tree.h>

#include "runtime/reason.h"

enum reply reply_of(long status)
{
    switch (status) {
    case 200:
        return REPLY_GOOD;
    case 204:
        return REPLY_END;
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return REPLY_LATER;
    default:
        return REPLY_REFUSED;
    }
}

/* The body as a tree, NULL when it is none. */
static yajl_val parse(struct slice body)
{
    struct buffer text = {NULL, 0, 0};
    buffer_add(&text, body, SIZE_MAX / 4);
    yajl_val tree = strlen(text.p) == text.n ? yajl_tree_parse(text.p, NULL, 0) : NULL;
    buffer_free(&text);
    return tree;
}

static yajl_val member(yajl_val tree, const char *name, yajl_type type)
{
    return YAJL_IS_OBJECT(tree) ? yajl_tree_get(tree, (const char *[]){name, NULL}, type) : NULL;
}

bool reply_member(struct buffer *out, struct slice body, const char *name)
{
    yajl_val tree = body.n <= REPLY_BODY_MAX ? parse(body) : NULL, value = member(tree, name, yajl_t_string);
    if (value != NULL)
        buffer_add(out, slice_of(value->u.string), SIZE_MAX / 4);
    if (tree != NULL)
        yajl_tree_free(tree);
    return value != NULL;
}

bool reply_list(struct buffer *out, struct slice body, const char *name, size_t count)
{
    yajl_val tree = parse(body), list = member(tree, name, yajl_t_array);
    bool good = list != NULL && list->u.array.len == count;
    for (size_t i = 0; good && i != count; ++i) {
        good = YAJL_IS_STRING(list->u.array.values[i]);
        if (good)
            buffer_print(out, "%s\n", list->u.array.values[i]->u.string);
    }
    if (tree != NULL)
        yajl_tree_free(tree);
    return good;
}

void reply_print(struct buffer *out, long status, struct slice body, const char *to)
{
    const char *phrase = reason_phrase((int)status, "");
    struct buffer sentence = {NULL, 0, 0};
    buffer_print(out, "%ld%s%s", status, *phrase == 0 ? "" : " ", phrase);
    if (reply_member(&sentence, body, "error"))
        buffer_print(out, ": %s", sentence.p);
    if (to != NULL)
        buffer_print(out, " to %s; redirects are followed with --location only", to);
    buffer_free(&sentence);
}
