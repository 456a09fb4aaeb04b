#include "tests/fault/track.h"

enum { WINDOW = 64 };

/* What comes after `last`, with `missing` numbers left out between them. */
static void advance(struct track *track, struct tally *tally, uint32_t missing)
{
    if (track->gap && missing == 0)
        ++tally->needless_gaps;
    if (track->gap)
        tally->told += missing;
    else
        tally->lost += missing;
    track->gap = false;
    track->seen = missing + 1 < WINDOW ? track->seen << (missing + 1) | 1 : 1;
    track->last += missing + 1;
}

static void again(struct track *track, struct tally *tally, uint32_t back, bool undecided)
{
    uint64_t bit = back < WINDOW ? UINT64_C(1) << back : 0;
    if (bit != 0 && (track->seen & bit) == 0) {
        ++tally->out_of_order;
        if (tally->lost != 0)
            --tally->lost;
        track->seen |= bit;
    } else if (undecided) {
        ++tally->twins;
    } else if (track->gap) {
        ++tally->retold;
    } else {
        ++tally->duplicated;
    }
}

void track_event(struct track *track, struct tally *tally, uint32_t number, bool undecided)
{
    ++tally->events;
    if (number > track->last)
        advance(track, tally, number - track->last - 1);
    else
        again(track, tally, track->last - number, undecided);
}

void track_gap(struct track *track, struct tally *tally)
{
    ++tally->gaps;
    track->gap = true;
}
