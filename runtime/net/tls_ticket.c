#include "runtime/net/tls_ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/read_file.h"

enum {
    KEY_BYTES = 80,
    KEY_BASE64 = 108, /* characters, the last is '=' */
    FILE_MAX_BYTES = 16384,
};

struct key {
    unsigned char name[16], mac[32], cipher[32];
};

struct keys {
    size_t count;
    struct key all[TLS_TICKET_KEYS_MAX];
};

static const char *fail(const char *setting, const char *path, const char *fault)
{
    static char text[1024];
    snprintf(text, sizeof(text), "%s: %.400s: %s", setting, path, fault);
    return text;
}

/* ---- the file ---- */

static const char *add_key(struct keys *keys, const char *base64)
{
    unsigned char bytes[KEY_BASE64 / 4 * 3];
    if (keys->count == TLS_TICKET_KEYS_MAX)
        return "more than 16 keys";
    if (EVP_DecodeBlock(bytes, (const unsigned char *)base64, KEY_BASE64) != (int)sizeof(bytes) || base64[KEY_BASE64 - 1] != '=' ||
        base64[KEY_BASE64 - 2] == '=')
        return "a key is not 80 bytes in base64";
    struct key *key = &keys->all[keys->count];
    memcpy(key, bytes, KEY_BYTES);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    for (size_t i = 0; i < keys->count; ++i)
        if (memcmp(keys->all[i].name, key->name, sizeof(key->name)) == 0)
            return "it contains a key twice";
    ++keys->count;
    return NULL;
}

/* A key ends with its 108th character, wherever the line breaks are. */
static const char *parse(struct keys *keys, char *text)
{
    char base64[KEY_BASE64 + 1] = "", *rest = text;
    size_t n = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] == '#' || strncmp(line, "-----", 5) == 0)
            continue;
        for (; *line != '\0'; ++line) {
            if (strchr(" \t\r", *line) != NULL)
                continue;
            base64[n++] = *line;
            const char *fault = n == KEY_BASE64 ? add_key(keys, base64) : NULL;
            if (fault != NULL)
                return fault;
            n %= KEY_BASE64;
        }
    }
    OPENSSL_cleanse(base64, sizeof(base64));
    if (n != 0)
        return "a key is not 80 bytes in base64";
    return keys->count == 0 ? "it contains no key" : NULL;
}

static const char *read_keys(struct keys *keys, const char *path)
{
    size_t n;
    const char *fault;
    char *text = read_file(path, FILE_MAX_BYTES, &n, &fault);
    if (text == NULL)
        return fault;
    fault = memchr(text, '\0', n) != NULL ? "it contains a NUL byte" : parse(keys, text);
    OPENSSL_cleanse(text, n);
    free(text);
    return fault;
}

/* ---- the context's ---- */

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long number, void *data)
{
    (void)parent, (void)ad, (void)index, (void)number, (void)data;
    OPENSSL_clear_free(ptr, sizeof(struct keys));
}

/* First called on the main thread, before there are others. */
static int keys_index(void)
{
    static int index = -1;
    if (index == -1)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_free);
    return index;
}

static bool set_up(const struct key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1;
}

/* OpenSSL's contract: -1 fault, 0 an unknown key (a full handshake follows), 1 good, 2 good and to be replaced. */
static int on_ticket(SSL *tls, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    const struct keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), keys_index());
    size_t i = 0;
    if (sealing) {
        memcpy(name, keys->all[0].name, sizeof(keys->all[0].name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
    } else {
        while (i < keys->count && memcmp(name, keys->all[i].name, sizeof(keys->all[i].name)) != 0)
            ++i;
        if (i == keys->count)
            return 0;
    }
    if (!set_up(&keys->all[i], iv, cipher, mac, sealing))
        return -1;
    return i == 0 ? 1 : 2;
}

/* Made once, so that sessions outlive a reload of the certificate. */
static const struct key *own_key(void)
{
    static struct key key;
    static bool made;
    if (!made && RAND_priv_bytes((unsigned char *)&key, sizeof(key)) != 1)
        abort();
    made = true;
    return &key;
}

const char *tls_ticket_keys(SSL_CTX *ctx, const char *setting, const char *path)
{
    _Static_assert(sizeof(struct key) == KEY_BYTES, "no padding");
    struct keys *keys = OPENSSL_zalloc(sizeof(*keys));
    if (keys == NULL)
        abort();
    if (path == NULL)
        keys->all[keys->count++] = *own_key();
    const char *fault = path == NULL ? NULL : read_keys(keys, path);
    if (fault != NULL) {
        OPENSSL_clear_free(keys, sizeof(*keys));
        return fail(setting, path, fault);
    }
    SSL_CTX_set_ex_data(ctx, keys_index(), keys);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    return NULL;
}
