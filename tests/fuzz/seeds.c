/* Writes the seed inputs of all targets: the golden vectors, brought into each target's form, and the lines of seeds.txt. Nothing of them is kept in
 * git twice.
 *
 *     fuzz_seeds FOLDER SEEDS_TXT        FOLDER/target/name */
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/vectors.h"

static const char *folder;

static void write_seed(const char *target, struct slice bytes)
{
    static size_t number;
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/seed-%04zu", folder, target, number++);
    FILE *file = fopen(path, "wb");
    must(file != NULL);
    must(bytes.n == 0 || fwrite(bytes.p, 1, bytes.n, file) == bytes.n);
    must(fclose(file) == 0);
}

/* before, middle and after in one. */
static void write_joined(const char *target, struct slice before, struct slice middle, struct slice after)
{
    struct text text = {NULL, 0, 0};
    text_add(&text, before);
    text_add(&text, middle);
    text_add(&text, after);
    write_seed(target, text_slice(&text));
    text_free(&text);
}

/* ---- the vectors ---- */

/* The values of a column, or the rows themselves where they are plain texts (column NULL). */
static void write_column(yajl_val file, const char *table, const char *column, const char *target, struct slice before,
                         struct slice after)
{
    struct vector_rows rows = vector_rows(file, table);
    for (size_t i = 0; i != rows.len; ++i) {
        vector_used = 0;
        struct slice value = column == NULL ? vector_value(rows.values[i]) : vector_bytes(rows.values[i], column);
        write_joined(target, before, value, after);
    }
}

static void write_channels(void)
{
    yajl_val file = vector_file("channel.json");
    write_column(file, "good", NULL, "channel", SLICE(""), SLICE(""));
    write_column(file, "good", NULL, "channel", SLICE("sse:"), SLICE(""));
    write_column(file, "bad", "name", "channel", SLICE(""), SLICE(""));
    write_column(file, "good", NULL, "request", SLICE("/subscribe?last=7&channel="),
                 SLICE("\xff"
                       "accept: */*"));
    write_column(file, "bad", "name", "post", SLICE("POST\xff/channels/"),
                 SLICE("\xffx\xff"
                       "content-type: text/plain"));
    yajl_tree_free(file);
}

static void write_events(yajl_val file, const char *table)
{
    struct vector_rows rows = vector_rows(file, table);
    for (size_t i = 0; i != rows.len; ++i) {
        yajl_val row = rows.values[i], list = vector_get(row, "data");
        struct text text = {NULL, 0, 0};
        int32_t retry = (int32_t)vector_integer(row, "retry", -1);
        vector_used = 0;
        struct slice id = vector_bytes(row, "id");
        text_add_byte(&text, (id.p != NULL) | (retry != -1) << 1);
        text_add(&text, slice_make((const char *)&retry, sizeof(retry)));
        text_add(&text, vector_bytes(row, "event"));
        text_add_byte(&text, 0xff);
        text_add(&text, id);
        for (size_t j = 0; YAJL_IS_ARRAY(list) && j != YAJL_GET_ARRAY(list)->len; ++j) {
            text_add_byte(&text, 0xff);
            text_add(&text, vector_value(YAJL_GET_ARRAY(list)->values[j]));
        }
        write_seed("sse_encode", text_slice(&text));
        text_free(&text);
    }
}

static void write_sse(void)
{
    yajl_val file = vector_file("sse.json");
    write_events(file, "encode");
    write_events(file, "refuse");
    write_column(file, "encode", "bytes", "sse_check", SLICE(""), SLICE(""));
    write_column(file, "check", "bytes", "sse_check", SLICE(""), SLICE(""));
    write_column(file, "check", "bytes", "message", SLICE("\x1esse1 2-0 1-0\n"), SLICE(""));
    yajl_tree_free(file);
}

static void write_streams(void)
{
    yajl_val file = vector_file("stream.json");
    write_column(file, "read", "bytes", "sse_parser", SLICE("\x01"), SLICE(""));
    write_column(file, "read", "bytes", "sse_parser", SLICE("\x05"), SLICE(""));
    yajl_tree_free(file);
}

static void write_messages(void)
{
    yajl_val file = vector_file("message.json");
    write_column(file, "decode", "payload", "message", SLICE(""), SLICE(""));
    write_column(file, "batches", "payload", "message", SLICE(""), SLICE(""));
    write_column(file, "decode", "payload", "json_body", SLICE("\xff"), SLICE(""));
    write_column(file, "decode", "payload", "quote", SLICE(""), SLICE(""));
    yajl_tree_free(file);
}

static void write_event_ids(void)
{
    yajl_val file = vector_file("event_id.json");
    struct vector_rows rows = vector_rows(file, "ids");
    for (size_t i = 0; i != rows.len; ++i) {
        uint64_t position[2] = {(uint64_t)vector_integer(rows.values[i], "ms", 0),
                                (uint64_t)vector_integer(rows.values[i], "seq", 0)};
        struct text text = {NULL, 0, 0};
        vector_used = 0;
        text_add(&text, slice_make((const char *)position, sizeof(position)));
        text_add(&text, vector_bytes(rows.values[i], "channel"));
        text_add(&text, SLICE("\xffother\xff"));
        text_add(&text, vector_bytes(rows.values[i], "id"));
        write_seed("event_id", text_slice(&text));
        text_free(&text);
    }
    write_column(file, "foreign", "id", "event_id", SLICE("0123456789abcdefpost\xffother\xff"), SLICE(""));
    yajl_tree_free(file);
}

/* ---- seeds.txt ---- */

/* Reads one character, taking its escape off the line. */
static int take_byte(const char **line)
{
    static const char names[] = "rnt\\f", bytes[] = "\r\n\t\\\xff";
    const char *p = *line, *name = p[0] == '\\' && p[1] != '\0' ? strchr(names, p[1]) : NULL;
    *line = p + (name != NULL ? 2 : p[0] == '\\' && p[1] == 'x' ? 4 : 1);
    if (name != NULL)
        return (unsigned char)bytes[name - names];
    return p[0] == '\\' && p[1] == 'x' ? (int)strtol((char[]){p[2], p[3], '\0'}, NULL, 16) : (unsigned char)p[0];
}

static void write_lines(const char *path)
{
    char line[4096];
    FILE *file = fopen(path, "r");
    must(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        struct text text = {NULL, 0, 0};
        const char *p = strchr(line, ' ');
        if (line[0] == '#' || p == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        line[p - line] = '\0';
        for (++p; *p != '\0';)
            text_add_byte(&text, take_byte(&p));
        write_seed(line, text_slice(&text));
        text_free(&text);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    must(argc == 3);
    folder = argv[1];
    mkdir(folder, 0777);
    write_channels();
    write_sse();
    write_streams();
    write_messages();
    write_event_ids();
    write_lines(argv[2]);
    return 0;
}
