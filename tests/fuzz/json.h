/* RFC 8259 JSON by recursive descent, written from its grammar and sharing no code with yajl, which it judges. */
#pragma once

#include "tests/fuzz/fuzz.h"

struct json_value {
    bool is_object;
    struct text normal; /* compact; strings decoded and written anew in one way, numbers as they stood */
};

/* Whether the text is one JSON value, in UTF-8, no half surrogates, objects and arrays at most depth_max within each other. text_free()
 * value->normal in any case. */
bool json_read(struct json_value *value, struct slice text, unsigned depth_max);

/* Adds a string in the normal form, as which every string of the same characters is written. */
void json_add_string(struct text *out, struct slice characters);

/* The characters of a JSON text that is one string and nothing else; false when it is something else. */
bool json_characters(struct text *characters, struct slice text);
