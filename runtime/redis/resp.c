#include "runtime/redis/resp.h"

#include "runtime/digits.h"

/* '*' or '$', up to 20 digits, CR LF, and the CR LF after a bulk string. */
enum { ITEM_MAX = 1 + 20 + 2 + 2 };

static char *write_length(char *out, char mark, size_t n)
{
    *out++ = mark;
    out += digits_put(out, n);
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

void resp_write(h2o_buffer_t **out, const struct slice *argv, size_t argc)
{
    size_t room = ITEM_MAX;
    for (size_t i = 0; i < argc; ++i)
        room += ITEM_MAX + argv[i].n;
    char *start = h2o_buffer_reserve(out, room).base, *end = write_length(start, '*', argc);
    for (size_t i = 0; i < argc; ++i) {
        end = write_length(end, '$', argv[i].n);
        end = h2o_memcpy(end, argv[i].p, argv[i].n);
        end += argv[i].n;
        *end++ = '\r';
        *end++ = '\n';
    }
    (*out)->size += (size_t)(end - start);
}
