#include "proto/cli/address.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_part(CURLU *url, CURLUPart part)
{
    char *value = NULL;
    bool has = curl_url_get(url, part, &value, 0) == CURLUE_OK;
    curl_free(value);
    return has;
}

const char *address_check(const char *text)
{
    const char *fault = NULL;
    CURLU *url = curl_url();
    if (url == NULL)
        abort();
    if (strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0)
        fault = "must begin with http:// or https://";
    else if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
        fault = "is not a URL";
    else if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        fault = "must hold no user or password: use --token-file or SSE_TOKEN";
    curl_url_cleanup(url);
    return fault;
}

bool address_is(const char *argument)
{
    return argument[0] == '/' || strstr(argument, "://") != NULL;
}

static void add_escaped(struct buffer *out, const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    if (escaped == NULL)
        abort();
    buffer_print(out, "%s", text[0] == '\0' ? "" : escaped);
    curl_free(escaped);
}

/* Adds ?name=value, or &name=value behind a query that begins at `from`. */
static void add_parameter(struct buffer *out, size_t from, const char *name, const char *value)
{
    buffer_print(out, "%c%s=", memchr(out->p + from, '?', out->n - from) == NULL ? '?' : '&', name);
    add_escaped(out, value);
}

static void add_number(struct buffer *out, size_t from, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    add_parameter(out, from, name, text);
}

static void add_server(struct buffer *out, const struct options *options)
{
    size_t n = strlen(options->url);
    while (n != 0 && options->url[n - 1] == '/')
        --n;
    buffer_print(out, "%.*s", (int)n, options->url);
}

void address_channel(struct buffer *out, const struct options *options, const char *channel, bool fields)
{
    size_t from = out->n;
    add_server(out, options);
    buffer_print(out, "/channels/");
    add_escaped(out, channel);
    if (fields && options->event != NULL)
        add_parameter(out, from, "event", options->event);
    if (fields && options->id != NULL)
        add_parameter(out, from, "id", options->id);
    if (fields && options->retry >= 0)
        add_number(out, from, "retry", options->retry);
}

void address_stream(struct buffer *out, const struct options *options, bool last)
{
    const struct option_list *channels = &options->channels;
    size_t from = out->n;
    if (channels->count == 0) {
        if (options->arguments.items[0][0] == '/')
            add_server(out, options);
        buffer_print(out, "%.*s", (int)strcspn(options->arguments.items[0], "#"), options->arguments.items[0]);
    } else if (channels->count == 1) {
        address_channel(out, options, channels->items[0], false);
    } else {
        add_server(out, options);
        buffer_print(out, "/subscribe");
        for (size_t i = 0; i != channels->count; ++i)
            add_parameter(out, from, "channel", channels->items[i]);
    }
    if (last && options->last != 0)
        add_number(out, from, "last", options->last);
}

void address_show(struct buffer *out, const char *url)
{
    buffer_print(out, "%.*s", (int)strcspn(url, "?#"), url);
}
