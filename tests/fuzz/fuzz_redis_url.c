/* Input: a REDIS_URL.
 * What is taken is within its fields, and spelt again from them it is taken as the same; the sentence of a fault, and the place for logs, hold nothing of
 * user and password. */
#include "proto/bus/redis_url.h"

#include "tests/fuzz/fuzz.h"

static void escape(struct text *out, const char *s)
{
    char triplet[4];
    for (; *s != '\0'; ++s) {
        snprintf(triplet, sizeof(triplet), "%%%02x", (unsigned char)*s);
        text_add(out, slice_of(triplet));
    }
}

static void spell(struct text *out, const struct redis_url *url)
{
    char tail[64], place[300];
    text_add(out, url->transport == REDIS_UNIX ? SLICE("Unix://") : url->secure ? SLICE("rEDISS://") : SLICE("REDIS://"));
    if (url->password[0] != '\0') {
        escape(out, url->user);
        text_add(out, SLICE(":"));
        escape(out, url->password);
        text_add(out, SLICE("@"));
    }
    text_add(out, slice_of(redis_url_place(place, sizeof(place), url)));
    snprintf(tail, sizeof(tail), url->transport == REDIS_TCP ? "/%d" : "?db=%d", url->db);
    text_add(out, slice_of(tail));
}

static void check_place(const struct redis_url *url)
{
    char *place = malloc(300), *cut = malloc(8);
    must(place != NULL && cut != NULL);
    redis_url_place(place, 300, url);
    redis_url_place(cut, 8, url);
    must(strlen(cut) <= 7 && strncmp(cut, place, strlen(cut)) == 0);
    if (url->transport == REDIS_UNIX)
        must(strcmp(place, url->path) == 0);
    else
        must(strstr(place, url->host) != NULL && strchr(place, '@') == NULL && strrchr(place, ':') != NULL);
    free(place);
    free(cut);
}

static bool is_same(const struct redis_url *a, const struct redis_url *b)
{
    return a->transport == b->transport && a->secure == b->secure && a->port == b->port && a->db == b->db &&
           strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0 && strcmp(a->user, b->user) == 0 &&
           strcmp(a->password, b->password) == 0;
}

static void check_good(const struct redis_url *url)
{
    struct redis_url again;
    struct text text = {NULL, 0, 0};
    must(memchr(url->host, 0, sizeof(url->host)) != NULL && memchr(url->path, 0, sizeof(url->path)) != NULL);
    must(memchr(url->user, 0, sizeof(url->user)) != NULL && memchr(url->password, 0, sizeof(url->password)) != NULL);
    must(url->transport == REDIS_TCP ? url->host[0] != '\0' && url->port != 0 : url->path[0] == '/');
    must(url->db >= 0 && (url->user[0] == '\0' || url->password[0] != '\0'));
    check_place(url);
    spell(&text, url);
    must(redis_url_parse(&again, text.p) == NULL);
    must(is_same(&again, url));
    text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = own(slice_make((const char *)data, size), true);
    struct redis_url url;
    const char *why = redis_url_parse(&url, text.p);
    if (why == NULL)
        check_good(&url);
    else
        must(why[0] != '\0' && (why < text.p || why > text.p + text.n));
    disown(text);
    return 0;
}
