/* The functions of libh2o 2.2.5 that this program replaces: calls between the library's files go through its symbol table, where the executable comes
 * first. The table names all of them and the files that replace them; h2o_check.c finds the library's own and
 * checks the whole. Not for files outside of runtime/: the library's internals come with it. */
#pragma once

#include "runtime/h2o.h"

#include <h2o/http2_internal.h>
#include <sys/epoll.h>
#include <sys/time.h>

struct phr_header;
struct phr_chunked_decoder;

/* libh2o's parser, picohttpparser, comes without its header file. */
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path, size_t *path_len,
                      int *minor_version, struct phr_header *headers, size_t *num_headers, size_t last_len);
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *size);

#define LIBRARY_REPLACED(FUNCTION)                                                        \
    FUNCTION(gettimeofday) /* steady_clock.c */                                           \
    FUNCTION(h2o_context_update_timestamp_cache) /* steady_clock.c */                     \
    FUNCTION(epoll_ctl) /* turn.c: a turn takes so many clients */                        \
    FUNCTION(epoll_wait) /* turn.c */                                                     \
    FUNCTION(h2o_buffer_reserve) /* bodies.c: bounds what requests under way take */      \
    FUNCTION(h2o_buffer__do_free) /* bodies.c */                                          \
    FUNCTION(h2o_socket_write) /* takeover.c: what the library says by itself */          \
    FUNCTION(h2o_socket_read_start) /* h2_guard.c, h1_pace.c: see the input first */      \
    FUNCTION(h2o_socket_close) /* h1_pace.c: a connection that waits is gone */           \
    FUNCTION(h2o_http1_accept) /* h1_pace.c */                                            \
    FUNCTION(h2o_init_request) /* h1_pace.c: the next request on a connection */          \
    FUNCTION(phr_parse_request) /* h1_guard.c: refuses what a proxy may read otherwise */ \
    FUNCTION(phr_decode_chunked) /* h1_guard.c */                                         \
    FUNCTION(h2o_http2_accept) /* h2_guard.c */                                           \
    FUNCTION(h2o_http2_handle_upgrade) /* h2_guard.c */                                   \
    FUNCTION(h2o_http2_decode_frame) /* h2_guard.c: judges each frame */                  \
    FUNCTION(h2o_http2__encode_rst_stream_frame) /* h2_guard.c: … and each reset */     \
    FUNCTION(h2o_hpack_parse_headers) /* h2_guard.c: … and each head */                 \
    FUNCTION(h2o_strtosize) /* h2_guard.c: counts the lengths of a head */                \
    FUNCTION(h2o_http2_scheduler_dispose) /* h2_guard.c: a connection ends */             \
    FUNCTION(h2o_cache_digests_load_header) /* h2_guard.c: does nothing */                \
    FUNCTION(h2o_send_error_generic) /* runtime/http.c: errors are one JSON sentence */

/* Named by h2o_check.c, so that turn.c is linked also where a sanitizer's library has functions of these names. */
extern const int turn_clients_max;

/* The library's own, to be called from ours. */
#define LIBRARY_FIELD(name) typeof(name) *name;
extern struct library {
    LIBRARY_REPLACED(LIBRARY_FIELD)
} library;
#undef LIBRARY_FIELD
