/* Input: a REDIS_URL.
 * What is taken is within its fields, and spelt again from them it is taken as the same; the sentence of a fault, and the place for logs, hold nothing of
 * user and password. */
#include "runtime/redis/redis_url.h"

#include "tests/fuzz/fuzz.h"

static void escape(struct text *out, const char *s)
{
    char triplet[4];
    for (; *s != '\0'; ++s) {
        snprintf(triplet, sizeof(triplet), "%%%02x", (unsigned char)*s);
        text_add(out, slice_of(triplet));
    }
}

static const char *scheme_of(const struct redis_url *url)
{
    static const char *const plain[] = {[REDIS_TCP] = "REDIS://",
                                        [REDIS_UNIX] = "Unix://",
                                        [REDIS_SENTINEL] = "redis-SENTINEL://",
                                        [REDIS_CLUSTER] = "redis-CLUSTER://"};
    static const char *const secure[] = {[REDIS_TCP] = "rEDISS://",
                                         [REDIS_UNIX] = "",
                                         [REDIS_SENTINEL] = "rediss-Sentinel://",
                                         [REDIS_CLUSTER] = "rediss-Cluster://"};
    return url->secure ? secure[url->kind] : plain[url->kind];
}

static void spell(struct text *out, const struct redis_url *url)
{
    char tail[64], place[REDIS_PLACE_MAX];
    text_add(out, slice_of(scheme_of(url)));
    if (url->login.password[0] != '\0') {
        escape(out, url->login.user);
        text_add(out, SLICE(":"));
        escape(out, url->login.password);
        text_add(out, SLICE("@"));
    }
    text_add(out, slice_of(redis_url_place(place, sizeof(place), url)));
    snprintf(tail, sizeof(tail), url->kind == REDIS_UNIX ? "?db=%d" : "/%d", url->db);
    text_add(out, slice_of(tail));
}

static void check_place(const struct redis_url *url)
{
    char *place = malloc(REDIS_PLACE_MAX), *cut = malloc(8);
    must(place != NULL && cut != NULL);
    redis_url_place(place, REDIS_PLACE_MAX, url);
    redis_url_place(cut, 8, url);
    must(strlen(place) < REDIS_PLACE_MAX - 1 && strlen(cut) <= 7 && strncmp(cut, place, strlen(cut)) == 0);
    if (url->kind == REDIS_UNIX)
        must(strcmp(place, url->path) == 0);
    for (size_t i = 0; i != url->node_count; ++i)
        must(strstr(place, url->nodes[i].host) != NULL && strchr(place, '@') == NULL && strrchr(place, ':') != NULL);
    free(place);
    free(cut);
}

static bool is_same(const struct redis_url *a, const struct redis_url *b)
{
    bool same = a->kind == b->kind && a->secure == b->secure && a->node_count == b->node_count && a->db == b->db &&
                strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0 && strcmp(a->login.user, b->login.user) == 0 &&
                strcmp(a->login.password, b->login.password) == 0;
    for (size_t i = 0; same && i != a->node_count; ++i)
        same = a->nodes[i].port == b->nodes[i].port && strcmp(a->nodes[i].host, b->nodes[i].host) == 0;
    return same;
}

static void check_nodes(const struct redis_url *url)
{
    must(url->kind == REDIS_UNIX ? url->node_count == 0 : url->kind == REDIS_TCP ? url->node_count == 1 : url->node_count >= 1);
    must(url->node_count <= REDIS_NODES_MAX && (url->kind == REDIS_SENTINEL) == (url->name[0] != '\0'));
    must((url->kind == REDIS_UNIX) == (url->path[0] == '/') && (url->kind != REDIS_CLUSTER || url->db == 0));
    for (size_t i = 0; i != url->node_count; ++i)
        must(memchr(url->nodes[i].host, 0, sizeof(url->nodes[i].host)) != NULL && url->nodes[i].host[0] != '\0' &&
             url->nodes[i].port != 0);
}

static void check_good(const struct redis_url *url)
{
    struct redis_url again;
    struct text text = {NULL, 0, 0};
    must(memchr(url->path, 0, sizeof(url->path)) != NULL && memchr(url->name, 0, sizeof(url->name)) != NULL);
    must(memchr(url->login.user, 0, sizeof(url->login.user)) != NULL &&
         memchr(url->login.password, 0, sizeof(url->login.password)) != NULL);
    must(url->db >= 0 && (url->login.user[0] == '\0' || url->login.password[0] != '\0'));
    must(url->sentinel_login.user[0] == '\0' && url->sentinel_login.password[0] == '\0');
    check_nodes(url);
    check_place(url);
    spell(&text, url);
    must(redis_url_parse(&again, text.p) == NULL);
    must(is_same(&again, url));
    text_free(&text);
}

/* The same input as REDIS_SENTINEL_PASSWORD. */
static void check_login(const char *text)
{
    struct redis_login login;
    struct redis_url url;
    const char *why = redis_url_parse_login(&login, text);
    must(why == NULL ? login.password[0] != '\0' : why[0] != '\0');
    const char *loaded = redis_url_load(&url, "redis-sentinel://h/n", text, false);
    must(text[0] == '\0' ? loaded == NULL : (loaded == NULL) == (why == NULL));
    must(loaded == NULL || strstr(loaded, "REDIS_SENTINEL_PASSWORD: ") == loaded);
    if (loaded == NULL && text[0] != '\0')
        must(strcmp(url.sentinel_login.user, login.user) == 0 && strcmp(url.sentinel_login.password, login.password) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = own(slice_make((const char *)data, size), true);
    struct redis_url url;
    const char *why = redis_url_parse(&url, text.p);
    check_login(text.p);
    if (why == NULL)
        check_good(&url);
    else
        must(why[0] != '\0' && (why < text.p || why > text.p + text.n));
    disown(text);
    return 0;
}
