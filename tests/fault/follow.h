/* The streams of the client; commands.c drives them. */
#pragma once

#include <netinet/in.h>

#include "tests/fault/answer.h"
#include "tests/fault/track.h"

enum phase { HELD, WAITING, CONNECTING, READING };
enum reading { NORMAL, STALLED, DRIPPING }; /* STALLED: never reads; DRIPPING: one byte a second */

struct stream {
    int fd;
    enum phase phase;
    enum reading how;
    bool opened, positioned; /* ever had an answer; ever had an event id */
    unsigned attempts;
    uint64_t due, heard; /* ms: when to connect; when the last byte came, or when it connected */
    uint64_t resumed_ms; /* the time that the id it resumed from stands for, else 0 */
    char id[ANSWER_ID_MAX];
    struct answer answer;
    struct track *tracks; /* one for each of its channels */
};

struct follow {
    unsigned count, channels, each; /* streams; channels in all; channels of each stream */
    const char *prefix;
    unsigned delay_ms; /* the longest pause before a reconnect */
    int receive_buffer;
    uint32_t start; /* the last number before the streams open */
    uint64_t window_ms; /* of several channels: what is so near in time to the id that it resumed from may come twice */
    struct sockaddr_in ports[16];
    unsigned port_count;
    int epoll;
    struct stream *streams;
    struct tally tally;
    unsigned open, positioned; /* streams with an answer now; that ever had an id */
    uint64_t connects, refused, ended, cut, silence_ms;
};

uint64_t now_ms(void);

/* The channel's number that track `i` of this stream stands for. */
unsigned follow_channel(const struct follow *follow, const struct stream *stream, unsigned i);

/* Closes every stream, and opens them again, all at once. */
void follow_hold(struct follow *follow);
void follow_go(struct follow *follow);

/* The first `n` streams read in this way from now on. */
void follow_read(struct follow *follow, unsigned n, enum reading how);

/* The longest that an open stream that reads was silent, up to now. */
uint64_t follow_silence(struct follow *follow);

struct commands;

/* Reads standard input; its descriptor is 0. */
struct commands *commands_create(struct follow *follow);

/* Something can be read; false at the end of the input. */
bool commands_read(struct commands *commands);

/* Answers what was waited for and has come true, or took too long. */
void commands_tick(struct commands *commands);
