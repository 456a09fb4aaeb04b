#include "runtime/auth/grants.h"

/* Takes `piece` and all before it off the front of *text; false when it does not occur. */
static bool skip_past(struct slice *text, struct slice piece)
{
    if (piece.n == 0)
        return true;
    const char *found = memmem(text->p, text->n, piece.p, piece.n);
    if (found == NULL)
        return false;
    *text = slice_from(*text, (size_t)(found - text->p) + piece.n);
    return true;
}

/* The pieces between the stars must occur one after another, each as early as it can; the last one, which ends the pattern, at the
 * end. */
bool pattern_matches(struct slice pattern, struct slice channel)
{
    struct slice rest = pattern;
    struct slice piece = slice_split(&rest, '*');
    if (rest.p == NULL)
        return slice_eq(pattern, channel);
    if (!slice_starts(channel, piece))
        return false;
    channel = slice_from(channel, piece.n);
    while (piece = slice_split(&rest, '*'), rest.p != NULL)
        if (!skip_past(&channel, piece))
            return false;
    return channel.n >= piece.n && slice_eq(slice_from(channel, channel.n - piece.n), piece);
}

bool grants_allow(const struct grants *grants, struct slice channel)
{
    for (size_t i = 0; i != grants->count; ++i)
        if (pattern_matches(grants->patterns[i], channel))
            return true;
    return false;
}
