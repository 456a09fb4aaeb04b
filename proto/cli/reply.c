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

bool reply_member(struct buffer *out, struct slice body, const char *name)
{
    struct buffer text = {NULL, 0, 0};
    if (!buffer_add(&text, body, REPLY_BODY_MAX) || strlen(text.p) != text.n) {
        buffer_free(&text);
        return false;
    }
    yajl_val tree = yajl_tree_parse(text.p, NULL, 0);
    yajl_val value = YAJL_IS_OBJECT(tree) ? yajl_tree_get(tree, (const char *[]){name, NULL}, yajl_t_string) : NULL;
    if (value != NULL)
        buffer_add(out, slice_of(value->u.string), SIZE_MAX / 4);
    if (tree != NULL)
        yajl_tree_free(tree);
    buffer_free(&text);
    return value != NULL;
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
