/* The program's output. Results go to stdout: with colour on a terminal, as JSON lines elsewhere. What happened goes to stderr as
 * "sse-cli: sentence" lines. Bytes from outside can't steer a terminal: control characters are shown as \xNN. */
#pragma once

#include "proto/cli/sse_parser.h"

/* `json`: also on a terminal. `quiet`: no notes. */
void output_init(bool json, bool quiet);

/* Whether results are JSON lines. */
bool output_is_json(void);

/* Whether a person watches stderr. */
bool output_is_watched(void);

void output_event(const struct sse_event *event);

/* A line of its own, as it stands but for control characters. */
void output_line(struct slice text);

/* Flushes the output. False when it cannot be written: a pipe's reader is gone, the disk is full. */
bool output_flush(void);

/* After that: the exit status, 0 when it was the reader's or a signal's wish, else 1 and a sentence. */
int output_lost(void);

/* Whether stdout is a pipe, and whether somebody still reads it. */
bool output_is_piped(void);
bool output_has_reader(void);

/* Something that happened; not said when quiet. */
void output_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line that the next one takes the place of; only where a person watches, and not when quiet. */
void output_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void output_progress_end(void);

/* Why it failed. */
void output_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
