#include "proto/cli/reply.h"

#include <stdint.h>
#include <yajl/yajl_tree.h>

static const struct {
    long status;
    enum reply reply;
    const char *phrase;
} replies[] = {
    {200, REPLY_GOOD, "OK"},
    {204, REPLY_END, "No Content"},
    {301, REPLY_REFUSED, "Moved Permanently"},
    {302, REPLY_REFUSED, "Found"},
    {303, REPLY_REFUSED, "See Other"},
    {307, REPLY_REFUSED, "Temporary Redirect"},
    {308, REPLY_REFUSED, "Permanent Redirect"},
    {400, REPLY_REFUSED, "Bad Request"},
    {401, REPLY_REFUSED, "Unauthorized"},
    {403, REPLY_REFUSED, "Forbidden"},
    {404, REPLY_REFUSED, "Not Found"},
    {405, REPLY_REFUSED, "Method Not Allowed"},
    {406, REPLY_REFUSED, "Not Acceptable"},
    {408, REPLY_LATER, "Request Timeout"},
    {413, REPLY_REFUSED, "Content Too Large"},
    {414, REPLY_REFUSED, "URI Too Long"},
    {415, REPLY_REFUSED, "Unsupported Media Type"},
    {422, REPLY_REFUSED, "Unprocessable Content"},
    {425, REPLY_LATER, "Too Early"},
    {429, REPLY_LATER, "Too Many Requests"},
    {500, REPLY_LATER, "Internal Server Error"},
    {502, REPLY_LATER, "Bad Gateway"},
    {503, REPLY_LATER, "Service Unavailable"},
    {504, REPLY_LATER, "Gateway Timeout"},
};

enum { KNOWN = sizeof(replies) / sizeof(replies[0]) };

static size_t find(long status)
{
    size_t i = 0;
    while (i != KNOWN && replies[i].status != status)
        ++i;
    return i;
}

enum reply reply_of(long status)
{
    size_t i = find(status);
    return i == KNOWN ? REPLY_REFUSED : replies[i].reply;
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
    size_t i = find(status);
    struct buffer sentence = {NULL, 0, 0};
    buffer_print(out, "%ld%s%s", status, i == KNOWN ? "" : " ", i == KNOWN ? "" : replies[i].phrase);
    if (reply_member(&sentence, body, "error"))
        buffer_print(out, ": %s", sentence.p);
    if (to != NULL)
        buffer_print(out, " to %s; redirects are followed with --location only", to);
    buffer_free(&sentence);
}
