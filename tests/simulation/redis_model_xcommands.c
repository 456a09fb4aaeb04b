/* The commands on streams, in the order in which Redis looks at their arguments. */
#include "tests/simulation/redis_model_inside.h"

#include <errno.h>

static const char invalid_id[] = "Invalid stream ID specified as stream command argument";
static const char not_integer[] = "value is not an integer or out of range";

/* ---- arguments ---- */

/* As string2ull(): digits, but also what strtoull() takes beside them. The text ends with a NUL. */
static bool parse_unsigned(const char *text, uint64_t *out)
{
    int64_t integer;
    if (integer_of(slice_of(text), &integer)) {
        *out = (uint64_t)integer;
        return integer >= 0;
    }
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *text != 0 && *end == 0;
}

/* "ms-seq", or "ms" alone, whose seq is `missing`. any_seq: "ms-*" is taken too, and sets it; NULL: it is not. */
static bool parse_id(struct slice text, struct position *out, uint64_t missing, bool strict, bool *any_seq)
{
    char copy[128];
    if (text.n > sizeof(copy) - 1)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (any_seq != NULL)
        *any_seq = false;
    if (strcmp(copy, "-") == 0 || strcmp(copy, "+") == 0) {
        *out = copy[0] == '-' ? POSITION_NONE : POSITION_MAX;
        return !strict;
    }
    char *dash = strchr(copy, '-');
    if (dash != NULL)
        *dash = 0;
    *out = (struct position){.seq = missing};
    if (!parse_unsigned(copy, &out->ms))
        return false;
    if (dash != NULL && any_seq != NULL && strcmp(dash + 1, "*") == 0) {
        *any_seq = true;
        out->seq = 0;
        return true;
    }
    return dash == NULL || parse_unsigned(dash + 1, &out->seq);
}

bool stream_id_of(struct slice text, struct position *out)
{
    return parse_id(text, out, 0, true, NULL);
}

static bool parse_strict(const struct call *call, struct slice text, struct position *out, bool *any_seq)
{
    if (parse_id(text, out, 0, true, any_seq))
        return true;
    call_error(call, invalid_id);
    return false;
}

static bool parse_integer(const struct call *call, struct slice text, int64_t *out)
{
    if (integer_of(text, out))
        return true;
    call_error(call, not_integer);
    return false;
}

struct add_options {
    struct trim trim;
    bool limit_given, no_create, id_given, any_seq;
    struct position id;
};

/* Reads "MAXLEN [=|~] n" or "MINID [=|~] id" at argv[*i]; *i becomes its last word. */
static bool read_trim(const struct call *call, size_t *i, struct trim *trim)
{
    int64_t maxlen;
    size_t more = call->argc - 1 - *i;
    struct slice next = call->argv[*i + 1];
    bool by_length = word_is(call->argv[*i], "maxlen");
    if (trim->by != TRIM_NONE) {
        call_error(call, "syntax error, MAXLEN and MINID options at the same time are not compatible");
        return false;
    }
    trim->approximate = more >= 2 && slice_eq(next, SLICE("~"));
    *i += more >= 2 && (slice_eq(next, SLICE("~")) || slice_eq(next, SLICE("="))) ? 2 : 1;
    trim->by = by_length ? TRIM_MAXLEN : TRIM_MINID;
    if (!by_length)
        return parse_strict(call, call->argv[*i], &trim->minid, NULL);
    if (!parse_integer(call, call->argv[*i], &maxlen))
        return false;
    trim->maxlen = (uint64_t)maxlen;
    if (maxlen < 0)
        call_error(call, "The MAXLEN argument must be >= 0.");
    return maxlen >= 0;
}

static bool read_limit(const struct call *call, size_t *i, struct add_options *options)
{
    if (!parse_integer(call, call->argv[++*i], &options->trim.limit))
        return false;
    options->limit_given = true;
    if (options->trim.limit < 0)
        call_error(call, "The LIMIT argument must be >= 0.");
    return options->trim.limit >= 0;
}

static bool check_trim(const struct call *call, struct add_options *options, bool xadd)
{
    struct trim *trim = &options->trim;
    const char *why =
        trim->limit != 0 && trim->by == TRIM_NONE    ? "syntax error, LIMIT cannot be used without specifying a trimming strategy"
        : !xadd && trim->by == TRIM_NONE             ? "syntax error, XTRIM must be called with a trimming strategy"
        : options->limit_given && !trim->approximate ? "syntax error, LIMIT cannot be used without the special ~ option"
                                                     : NULL;
    if (why != NULL)
        call_error(call, why);
    else if (!options->limit_given)
        trim->limit = trim->approximate ? 10000 : 0;
    return why == NULL;
}

/* Returns where the id stands (of XTRIM: the end); 0 on an error, which it answered. */
static size_t read_options(const struct call *call, struct add_options *options, bool xadd)
{
    size_t i = 2;
    for (; i < call->argc; ++i) {
        struct slice word = call->argv[i];
        bool more = i + 1 < call->argc;
        if (xadd && slice_eq(word, SLICE("*")))
            break;
        if (more && (word_is(word, "maxlen") || word_is(word, "minid"))) {
            if (!read_trim(call, &i, &options->trim))
                return 0;
        } else if (more && word_is(word, "limit")) {
            if (!read_limit(call, &i, options))
                return 0;
        } else if (xadd && word_is(word, "nomkstream")) {
            options->no_create = true;
        } else if (xadd) {
            if (!parse_strict(call, word, &options->id, &options->any_seq))
                return 0;
            options->id_given = true;
            break;
        } else {
            call_syntax(call);
            return 0;
        }
    }
    return check_trim(call, options, xadd) ? i : 0;
}

/* ---- XADD ---- */

/* The key's stream for a command that changes it; answered where it returns NULL. */
static struct stream *stream_to_change(const struct call *call, void (*absent)(const struct call *call))
{
    struct key *key = key_find(call->model, call->argv[1]);
    if (key == NULL)
        absent(call);
    else if (key->kind != KIND_STREAM)
        call_wrong_type(call);
    return key == NULL || key->kind != KIND_STREAM ? NULL : stream_own(key);
}

static void answer_zero(const struct call *call)
{
    reply_integer(call->to, 0);
}

static void answer_nil(const struct call *call)
{
    reply_nil(call->to);
}

static void answer_empty(const struct call *call)
{
    reply_array(call->reply, call->to, 0);
}

static void answer_no_key(const struct call *call)
{
    call_error(call, "no such key");
}

static struct stream *create_stream(struct redis_model *model, struct slice name)
{
    struct key *key = key_put(model, name);
    key->kind = KIND_STREAM;
    key->stream = stream_create();
    return key->stream;
}

static bool is_last_of_all(struct position at)
{
    return position_compare(at, POSITION_MAX) == 0;
}

/* The id of the new entry; false: there is none above the last. */
static bool next_id(const struct call *call, const struct stream *stream, const struct add_options *options, struct position *out)
{
    struct position last = stream->last, now = {now_ms(call->model), 0};
    *out = options->id;
    if (!options->id_given)
        *out = now.ms > last.ms ? now : position_next(last);
    else if (options->any_seq && last.ms == options->id.ms)
        *out = (struct position){last.ms, last.seq + 1}; /* wraps round: not above */
    return position_compare(*out, last) > 0;
}

static const char too_small[] = "The ID specified in XADD is equal or smaller than the target stream top item";
static const char exhausted[] = "The stream has exhausted the last possible ID, unable to add more items";

void command_xadd(const struct call *call)
{
    struct add_options options = {.trim = {.by = TRIM_NONE}};
    size_t at = read_options(call, &options, true);
    struct position id;
    if (at == 0)
        return;
    if (call->argc < at + 3 || (call->argc - at) % 2 == 0) {
        call_wrong_arity(call);
        return;
    }
    if (options.id_given && !options.any_seq && position_is_none(options.id)) {
        call_error(call, "The ID specified in XADD must be greater than 0-0");
        return;
    }
    struct stream *stream = options.no_create || key_find(call->model, call->argv[1]) != NULL
                                ? stream_to_change(call, answer_nil)
                                : create_stream(call->model, call->argv[1]);
    if (stream == NULL)
        return;
    if (is_last_of_all(stream->last)) {
        call_error(call, exhausted);
        return;
    }
    if (!next_id(call, stream, &options, &id)) {
        call_error(call, too_small);
        return;
    }
    stream_add(stream, id, call->argv + at + 1, call->argc - at - 1);
    if (options.trim.by != TRIM_NONE)
        stream_trim(stream, &options.trim);
    reply_position(call->reply, call->to, id);
}

const char *xadd(struct redis_model *model, struct slice name, const struct trim *trim, struct position at,
                 const struct slice *fields, size_t count)
{
    struct key *key = key_find(model, name);
    struct stream *stream = key == NULL ? create_stream(model, name) : stream_own(key);
    if (is_last_of_all(stream->last))
        return exhausted;
    if (position_compare(at, stream->last) <= 0)
        return too_small;
    stream_add(stream, at, fields, count);
    stream_trim(stream, trim);
    return NULL;
}

/* ---- the others ---- */

void command_xtrim(const struct call *call)
{
    struct add_options options = {.trim = {.by = TRIM_NONE}};
    if (read_options(call, &options, false) == 0)
        return;
    struct stream *stream = stream_to_change(call, answer_zero);
    if (stream != NULL)
        reply_integer(call->to, (int64_t)stream_trim(stream, &options.trim));
}

/* One end of a range; `exclusive`: it began with "(". */
static bool parse_bound(const struct call *call, struct slice text, struct position *out, uint64_t missing, bool *exclusive)
{
    *exclusive = text.n > 1 && text.p[0] == '(';
    if (parse_id(*exclusive ? slice_from(text, 1) : text, out, missing, *exclusive, NULL))
        return true;
    call_error(call, invalid_id);
    return false;
}

static bool parse_range(const struct call *call, struct position *start, struct position *end, bool backwards)
{
    bool exclusive;
    if (!parse_bound(call, call->argv[backwards ? 3 : 2], start, 0, &exclusive))
        return false;
    if (exclusive && is_last_of_all(*start)) {
        call_error(call, "invalid start ID for the interval");
        return false;
    }
    *start = exclusive ? position_next(*start) : *start;
    if (!parse_bound(call, call->argv[backwards ? 2 : 3], end, UINT64_MAX, &exclusive))
        return false;
    if (exclusive && position_is_none(*end)) {
        call_error(call, "invalid end ID for the interval");
        return false;
    }
    *end = exclusive ? position_before(*end) : *end;
    return true;
}

static void put_entry(struct reply *reply, redisReply *to, const struct entry *entry)
{
    const char *at = entry->fields->start;
    reply_array(reply, to, 2);
    reply_position(reply, to->element[0], entry->at);
    reply_array(reply, to->element[1], entry->fields->count);
    for (size_t i = 0; i != entry->fields->count; at += entry->fields->size[i++])
        reply_text(reply, to->element[1]->element[i], slice_make(at, entry->fields->size[i]));
}

static void put_range(const struct call *call, const struct stream *stream, struct position start, struct position end,
                      int64_t most, bool backwards)
{
    size_t from = stream_seek(stream, start);
    size_t to = is_last_of_all(end) ? stream_length(stream) : stream_seek(stream, position_next(end));
    size_t count = to > from ? to - from : 0;
    count = most >= 0 && (uint64_t)most < count ? (size_t)most : count;
    reply_array(call->reply, call->to, count);
    for (size_t i = 0; i != count; ++i)
        put_entry(call->reply, call->to->element[i], stream_entry(stream, backwards ? to - 1 - i : from + i));
}

void command_xrange(const struct call *call)
{
    struct position start, end;
    int64_t count = -1;
    bool backwards = strcmp(call->name, "xrevrange") == 0;
    if (!parse_range(call, &start, &end, backwards))
        return;
    for (size_t i = 4; i < call->argc; i += 2) {
        if (i + 1 == call->argc || !word_is(call->argv[i], "count")) {
            call_syntax(call);
            return;
        }
        if (!parse_integer(call, call->argv[i + 1], &count))
            return;
        count = count < 0 ? 0 : count;
    }
    struct key *key = key_find(call->model, call->argv[1]);
    if (key == NULL)
        answer_empty(call);
    else if (key->kind != KIND_STREAM)
        call_wrong_type(call);
    else if (count == 0)
        answer_nil(call);
    else
        put_range(call, key->stream, start, end, count, backwards);
}

void command_xlen(const struct call *call)
{
    struct key *key = key_find(call->model, call->argv[1]);
    if (key != NULL && key->kind != KIND_STREAM)
        call_wrong_type(call);
    else
        reply_integer(call->to, key == NULL ? 0 : (int64_t)stream_length(key->stream));
}

void command_xdel(const struct call *call)
{
    struct stream *stream = stream_to_change(call, answer_zero);
    struct position at;
    int64_t deleted = 0;
    bool first = false;
    if (stream == NULL)
        return;
    for (size_t i = 2; i != call->argc; ++i)
        if (!parse_strict(call, call->argv[i], &at, NULL))
            return;
    for (size_t i = 2; i != call->argc; ++i) {
        stream_id_of(call->argv[i], &at);
        if (!stream_delete(stream, at))
            continue;
        first = first || position_compare(at, stream->first) == 0;
        if (position_compare(at, stream->greatest_deleted) > 0)
            stream->greatest_deleted = at;
        ++deleted;
    }
    if (stream_length(stream) == 0 && deleted != 0)
        stream->first = POSITION_NONE;
    else if (first)
        stream->first = stream_entry(stream, 0)->at;
    reply_integer(call->to, deleted);
}

void command_xsetid(const struct call *call)
{
    struct position id, deleted = POSITION_NONE;
    int64_t added = -1;
    if (!parse_strict(call, call->argv[2], &id, NULL))
        return;
    for (size_t i = 3; i < call->argc; i += 2) {
        bool more = i + 1 < call->argc;
        const char *why = NULL;
        if (more && word_is(call->argv[i], "entriesadded")) {
            if (!parse_integer(call, call->argv[i + 1], &added))
                return;
            why = added < 0 ? "entries_added must be positive" : NULL;
        } else if (more && word_is(call->argv[i], "maxdeletedid")) {
            if (!parse_strict(call, call->argv[i + 1], &deleted, NULL))
                return;
            why = position_compare(id, deleted) < 0 ? "The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                                                    : NULL;
        } else {
            why = "syntax error";
        }
        if (why != NULL) {
            call_error(call, why);
            return;
        }
    }
    struct stream *stream = stream_to_change(call, answer_no_key);
    size_t length = stream == NULL ? 0 : stream_length(stream);
    if (stream == NULL)
        return;
    if (length != 0 && position_compare(id, stream_entry(stream, length - 1)->at) < 0) {
        call_error(call, "The ID specified in XSETID is smaller than the target stream top item");
        return;
    }
    if (length != 0 && added != -1 && length > (uint64_t)added) {
        call_error(call, "The entries_added specified in XSETID is smaller than the target stream length");
        return;
    }
    stream->last = id;
    stream->added = added != -1 ? (uint64_t)added : stream->added;
    stream->greatest_deleted = position_is_none(deleted) ? stream->greatest_deleted : deleted;
    call_ok(call);
}

void command_xinfo(const struct call *call)
{
    static const char *const names[] = {
        "length",        "radix-tree-keys",         "radix-tree-nodes", "last-generated-id", "max-deleted-entry-id",
        "entries-added", "recorded-first-entry-id", "groups",           "first-entry",       "last-entry"};
    struct key *key = key_find(call->model, call->argv[2]);
    struct reply *reply = call->reply;
    redisReply *at[10];
    if (key == NULL) {
        answer_no_key(call);
        return;
    }
    if (key->kind != KIND_STREAM) {
        call_wrong_type(call);
        return;
    }
    if (call->argc != 3) {
        reply_error(reply, call->to, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO HELP.",
                    (int)call->argv[1].n, call->argv[1].p);
        return;
    }
    const struct stream *stream = key->stream;
    size_t length = stream_length(stream), nodes = stream->nodes_end - stream->nodes_from;
    reply_array(reply, call->to, 20);
    for (size_t i = 0; i != 10; ++i) {
        reply_text(reply, call->to->element[2 * i], slice_of(names[i]));
        at[i] = call->to->element[2 * i + 1];
    }
    reply_integer(at[0], (int64_t)length);
    reply_integer(at[1], (int64_t)nodes);
    reply_integer(at[2], (int64_t)nodes + 1); /* about: how the tree compresses its edges is not modelled */
    reply_position(reply, at[3], stream->last);
    reply_position(reply, at[4], stream->greatest_deleted);
    reply_integer(at[5], (int64_t)stream->added);
    reply_position(reply, at[6], stream->first);
    reply_integer(at[7], 0);
    if (length != 0) {
        put_entry(reply, at[8], stream_entry(stream, 0));
        put_entry(reply, at[9], stream_entry(stream, length - 1));
    }
}
