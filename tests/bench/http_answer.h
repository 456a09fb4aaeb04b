/* Answers to HTTP/1.1 requests other than HEAD, as the servers compared here give them: with content-length, or without a body. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct http_answer {
    unsigned status;
    bool closes; /* the server will close the connection */
};

/* The size of the whole answer at the front of these bytes; 0: it goes on. Fails on what it does not understand. */
size_t http_answer_read(const char *p, size_t n, struct http_answer *answer);
