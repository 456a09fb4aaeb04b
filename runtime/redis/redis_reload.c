#include "runtime/redis/redis_reload.h"

#include <stdlib.h>

#include "runtime/config.h"
#include "runtime/log.h"

static bool same_place(const struct redis_url *a, const struct redis_url *b)
{
    bool same = a->kind == b->kind && a->secure == b->secure && a->db == b->db && a->node_count == b->node_count &&
                strcmp(a->path, b->path) == 0 && strcmp(a->name, b->name) == 0;
    for (size_t i = 0; same && i < a->node_count; ++i)
        same = redis_node_eq(&a->nodes[i], &b->nodes[i]);
    return same;
}

static const char *take(struct redis_url *url, const char *url_text, const char *sentinel_password)
{
    struct redis_url read;
    const char *why = redis_url_load(&read, url_text, sentinel_password, true); /* its place was good at the start */
    if (why == NULL && !same_place(url, &read))
        why = "REDIS_URL_FILE: only user and password may change while the program runs";
    if (why == NULL) {
        url->login = read.login;
        url->sentinel_login = read.sentinel_login;
    }
    OPENSSL_cleanse(&read, sizeof(read));
    return why;
}

static void forget(char *secret)
{
    if (secret != NULL)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

enum redis_reload redis_reload(struct redis_url *url, const char *url_text, const char *sentinel_password)
{
    char *new_text = NULL, *new_password = NULL;
    const char *why = config_read_file("REDIS_URL", &new_text);
    if (why == NULL)
        why = config_read_file("REDIS_SENTINEL_PASSWORD", &new_password);
    bool nothing = why == NULL && new_text == NULL && new_password == NULL;
    if (why == NULL && !nothing)
        why = take(url, new_text != NULL ? new_text : url_text, new_password != NULL ? new_password : sentinel_password);
    forget(new_text);
    forget(new_password);
    if (nothing)
        return REDIS_RELOAD_NOTHING;
    if (why != NULL)
        log_error("redis login not reloaded", log_str("why", why));
    else
        log_info("redis login reloaded");
    return why == NULL ? REDIS_RELOAD_DONE : REDIS_RELOAD_FAILED;
}
