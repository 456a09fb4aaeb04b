#include "runtime/redis/handshake.h"

#include <stdio.h>

#include "runtime/redis/redis_error.h"
#include "runtime/redis/resp.h"

/* In this order. Mode and role come early: to a Redis that is not the right one nothing else needs to be said. PING is the first command that Redis refuses while it
 * can't serve. */
enum step { AUTH, MODE, ROLE, SELECT, SETNAME, PING, STEPS };

/* The sentinels' own login, if one was set; otherwise a sentinel that requires a password gets that of the URL. */
static const struct redis_login *login_of(const struct handshake *handshake)
{
    const struct redis_url *url = handshake->topology->url;
    return handshake->topology->role == TOPOLOGY_SENTINEL && url->sentinel_login.password[0] != 0 ? &url->sentinel_login
                                                                                                  : &url->login;
}

void handshake_begin(struct handshake *handshake, const struct topology *topology, const char *name)
{
    *handshake = (struct handshake){.topology = topology, .name = name};
    const struct redis_login *login = topology->role == TOPOLOGY_SENTINEL ? &topology->url->sentinel_login : &topology->url->login;
    handshake->authenticate = login->password[0] != 0;
}

static size_t say(h2o_buffer_t **out, const struct slice *argv, size_t argc)
{
    resp_write(out, argv, argc);
    return 1;
}

static size_t say_auth(const struct redis_login *login, h2o_buffer_t **out)
{
    struct slice argv[3] = {SLICE("AUTH")};
    size_t n = 1;
    if (login->user[0] != 0)
        argv[n++] = slice_of(login->user);
    argv[n++] = slice_of(login->password);
    return say(out, argv, n);
}

static size_t say_step(const struct handshake *handshake, enum step step, h2o_buffer_t **out)
{
    const struct topology *topology = handshake->topology;
    char text[128];
    switch (step) {
    case AUTH:
        return handshake->authenticate ? say_auth(login_of(handshake), out) : 0;
    case MODE: /* HELLO without arguments changes nothing, and every user may say it */
        return topology->role == TOPOLOGY_SENTINEL ? 0 : say(out, (struct slice[]){SLICE("HELLO")}, 1);
    case ROLE:
        return topology->role == TOPOLOGY_PRIMARY ? say(out, (struct slice[]){SLICE("ROLE")}, 1) : 0;
    case SELECT:
        snprintf(text, sizeof(text), "%d", topology->url->db);
        if (topology->url->db == 0 || topology->role == TOPOLOGY_SENTINEL)
            return 0;
        return say(out, (struct slice[]){SLICE("SELECT"), slice_of(text)}, 2);
    case SETNAME:
        snprintf(text, sizeof(text), "sse-gateway:%s", handshake->name);
        return say(out, (struct slice[]){SLICE("CLIENT"), SLICE("SETNAME"), slice_of(text)}, 3);
    case PING:
        return say(out, (struct slice[]){SLICE("PING")}, 1);
    case STEPS:
        break;
    }
    return 0;
}

size_t handshake_write(struct handshake *handshake, h2o_buffer_t **out)
{
    size_t count = 0;
    handshake->steps = 0;
    for (enum step step = AUTH; step < STEPS; ++step) {
        size_t said = say_step(handshake, step, out);
        handshake->steps |= (unsigned)said << step;
        count += said;
    }
    return count;
}

/* ---- what the answers mean: NULL where all is well ---- */

/* Only for commands whose arguments are no secret: Redis repeats them. */
static const char *refusal(struct handshake *handshake, const redisReply *reply)
{
    const char *why = redis_error_down(reply);
    if (why != NULL)
        return why;
    snprintf(handshake->why, sizeof(handshake->why), "Redis refused the connection: %.100s", reply->str);
    return handshake->why;
}

static const char *auth_fault(struct handshake *handshake, const redisReply *reply)
{
    if (!redis_error(reply))
        return NULL;
    if (redis_error_is(reply, "ERR AUTH <password> called without") || redis_error_is(reply, "ERR Client sent AUTH, but no"))
        return "a password is set, but Redis has none";
    if (redis_error_is(reply, "WRONGPASS ") || redis_error_is(reply, "ERR invalid password"))
        return login_of(handshake)->user[0] != 0 ? "user or password was refused" : "the password was refused";
    return redis_error_down(reply) != NULL ? redis_error_down(reply) : "Redis refused AUTH";
}

/* Names and values, among them "mode": "standalone", "cluster" or "sentinel". What has no HELLO is no cluster. */
static const char *mode_fault(struct handshake *handshake, const redisReply *reply)
{
    bool is_cluster = false, wanted = handshake->topology->url->kind == REDIS_CLUSTER;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2)
        if (slice_eq(resp_text(reply->element[i]), SLICE("mode")))
            is_cluster = slice_eq(resp_text(reply->element[i + 1]), SLICE("cluster"));
    if (is_cluster == wanted || redis_error_down(reply) != NULL)
        return redis_error_down(reply);
    return wanted ? "this Redis is not a cluster node: REDIS_URL must begin with redis:// or rediss://, not with -cluster://"
                  : "this Redis is a cluster node: REDIS_URL must begin with redis-cluster:// or rediss-cluster://";
}

/* "master", or "slave", and more. */
static const char *role_fault(struct handshake *handshake, const redisReply *reply)
{
    if (redis_error_is(reply, "NOPERM "))
        return "the Redis user may not ask for the role: it needs +role";
    if (redis_error(reply))
        return refusal(handshake, reply);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || reply->element[0]->type != REDIS_REPLY_STRING)
        return "Redis does not say whether it is the primary";
    if (slice_eq(resp_text(reply->element[0]), SLICE("master")))
        return NULL;
    return handshake->topology->url->kind == REDIS_CLUSTER ? "the node that the cluster names as a primary is not a primary"
                                                           : "the node that the sentinels name as the primary is not a primary";
}

static const char *select_fault(struct handshake *handshake, const redisReply *reply)
{
    if (!redis_error(reply))
        return NULL;
    if (!redis_error_is(reply, "ERR DB index"))
        return refusal(handshake, reply);
    snprintf(handshake->why, sizeof(handshake->why), "database %d does not exist", handshake->topology->url->db);
    return handshake->why;
}

/* The name is for people: a Redis or a proxy that does not take it is good enough. */
static const char *setname_fault(struct handshake *handshake, const redisReply *reply)
{
    (void)handshake;
    return redis_error_is(reply, "NOAUTH ") ? NULL : redis_error_down(reply);
}

/* Whoever may not send a PING has still had an answer. */
static const char *ping_fault(struct handshake *handshake, const redisReply *reply)
{
    return redis_error(reply) && !redis_error_is(reply, "NOPERM ") ? refusal(handshake, reply) : NULL;
}

static bool wants_password(const struct handshake *handshake, const redisReply *reply)
{
    return (redis_error_is(reply, "NOAUTH ") || redis_error_is(reply, "NOPERM ")) && !handshake->authenticate &&
           login_of(handshake)->password[0] != 0;
}

enum handshake_result handshake_answer(struct handshake *handshake, const redisReply *reply)
{
    static const char *(*const faults[])(struct handshake *, const redisReply *) = {
        [AUTH] = auth_fault,     [MODE] = mode_fault,       [ROLE] = role_fault,
        [SELECT] = select_fault, [SETNAME] = setname_fault, [PING] = ping_fault};
    int step = __builtin_ctz(handshake->steps);
    handshake->steps &= handshake->steps - 1;
    if (step == PING && wants_password(handshake, reply)) {
        handshake->authenticate = true;
        return HANDSHAKE_AGAIN;
    }
    const char *why = faults[step](handshake, reply);
    if (why == NULL)
        return handshake->steps == 0 ? HANDSHAKE_DONE : HANDSHAKE_MORE;
    if (why != handshake->why)
        snprintf(handshake->why, sizeof(handshake->why), "%s", why);
    return HANDSHAKE_FAILED;
}
