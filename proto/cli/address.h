/* The URLs this program asks for. */
#pragma once

#include "proto/cli/buffer.h"
#include "proto/cli/options.h"

/* NULL, or what is wrong with it: an http or https URL without user or password. A static sentence. */
const char *address_check(const char *url);

/* Whether an argument of tail is a path ("/sse") or URL, not a channel's name. */
bool address_is(const char *argument);

/* Adds the URL of the stream that the options name; with `last`, so that it begins with the newest events they ask for. */
void address_stream(struct buffer *out, const struct options *options, bool last);

/* Adds the URL to publish at, or to read one channel from. `fields`: with what the options say of the event. */
void address_channel(struct buffer *out, const struct options *options, const char *channel, bool fields);

/* Adds the URL without its query, which may hold a secret: for messages. */
void address_show(struct buffer *out, const char *url);
