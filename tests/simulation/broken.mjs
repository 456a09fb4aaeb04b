// Breaks what the README promises, one line at a time, in a scratch copy, and has the simulation find each of them:
//
//     node tests/simulation/broken.mjs [--seeds 10000] [--scratch FOLDER] [--check] [NAME …]
//
// Prints the rows of the table in tests/results/simulation.md. A scratch folder that is given stays, and its build is used again. --check only looks whether each change
// still applies: its text stands in the file once. "calm": the worlds without faults fail, from which the simulation learns what gateways keep. A break in sse.lua is found by model_check, since the simulation has the function in C.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const CHANNEL = 'gateway/feed/channel.c', READ = 'gateway/feed/channel_read.c', REPLAY = 'gateway/feed/replay.c', PLACES = 'gateway/feed/places.c',
    DIVERGENCE = 'gateway/feed/divergence.c', HUB = 'gateway/stream/hub.c', SUBSCRIBER = 'gateway/stream/subscriber.c', LUA = 'proto/bus/sse.lua';

// [promise or defect, name, what it does then, file, text, instead]
const BREAKS = [
    ['1', 'not-published', 'an acknowledged event is in the history and not published', LUA, `    call(publish, channel.key, payload)\n    ANSWER`, '    ANSWER'],
    ['1', 'no-marker', 'the marker is not set', LUA, `    call("SET", channel.last, position, "EX", o.ttl + 1 + MARKED)\n`, ''],
    ['1', 'any-marker', 'an event names the one that the function remembers, whatever the marker says', LUA, `    if before == position then`, `    if before then`],
    ['1', 'marker-kept', 'a marker that was set for an event that could not follow stays', LUA, `            call("SET", last, before, "KEEPTTL")\n`, ''],
    ['1', 'half-refused', 'an event that is refused uses up a number of the counter', LUA, `    if fault then\n        return refuse(o, fault)\n    end\n    local sum`,
        `    if fault then\n        if o.id then redis.call("INCR", count_key(channel)) end\n        return refuse(o, fault)\n    end\n    local sum`],
    ['1', 'no-conflict', 'another event under a used key counts as a duplicate', LUA, `first[3] and first[3] ~= o.digest then`, `first[3] == "" then`],
    ['1', 'batch-conflict', 'a key of anything else counts as that of a batch', LUA, `    elseif first[3] ~= o.digest then`, `    elseif first[3] == "" then`],
    ['1', 'batch-used-id', 'a batch with an id that was used is published', LUA, `            elseif remembered(f.id_key) then`, `            elseif false then`],
    ['1', 'batch-forgets-ids', 'ids of a batch are not remembered', LUA, `        if f.digest then\n            remember(f, id, position)`, `        if f.digest and not o.many then\n            remember(f, id, position)`],
    ['1', 'batch-marker', 'the marker is the first event of a batch', LUA, `    set_ends(channel, o, previous)`, `    set_ends(channel, o, first)`],
    ['1', 'batch-half', 'a batch is published without its last event', LUA, `messages = { joined(messages) }`, `messages = { table.concat(messages, "", 1, #messages - 1) }`],
    ['1', 'batch-any-marker', 'a batch follows the event that the function remembers, whatever the marker says', LUA, `call("GET", channel.last) == channel.position and`, `call("GET", channel.last) and`],
    ['2', 'ahead-of-live', 'a page hands on what the channel has not had yet', REPLAY, `return position_compare(frame->at, channel_newest(place->channel)) > 0;`,
        `return false && position_compare(frame->at, channel_newest(place->channel)) > 0;`],
    ['2', 'newest-first', 'of several channels the newest event goes first', REPLAY, `position_compare(at, best_at) < 0`, `position_compare(at, best_at) > 0`],
    ['2', 'held-last-first', 'what was held while a history was read goes out before what was read', CHANNEL, `    if (channel->state != LIVE) {\n        hold(channel, frame);`,
        `    if (channel->state == SUBSCRIBING) {\n        hold(channel, frame);`],
    ['3', 'held-dropped', 'what came while the history was read is dropped', CHANNEL, `        take(channel, frame, i < settled ? ARRIVAL_SETTLED : ARRIVAL_HELD);\n`, ''],
    ['3', 'seen-again', 'an event that was read is handed on again when it comes', CHANNEL, `    return frame->durable && channel->past != PAST_UNKNOWN && !channel->divergence.emptied &&`,
        `    return false && frame->durable && channel->past != PAST_UNKNOWN && !channel->divergence.emptied &&`],
    ['3', 'one-page', 'only the first answer of what was missed is read', READ, `        behind = take_entry(channel, &entries[i], behind) || behind;\n    return !more;`, `        behind = take_entry(channel, &entries[i], behind) || behind;\n    return true;`],
    ['3', 'not-read-up', 'after a lost subscription nothing is read', READ, `    for (size_t i = answer.from; i < count; ++i)\n        behind = take_entry(channel, &entries[i], behind) || behind;\n    return !more;`,
        `    (void)behind, (void)take_entry;\n    if (count != 0)\n        channel->last = entries[count - 1].at;\n    return !more;`],
    ['3', 'no-divergence', 'a failover that lost events is not noticed', DIVERGENCE, `    if (!is_fork(past, entries, count))\n        return take_from(divergence, 0); /* the last`,
        `    if (!is_fork(past, entries, count) || true)\n        return take_from(divergence, 0); /* the last`],
    ['3', 'wrong-branch', 'after a failover the stream goes on behind the first event that it has not had', DIVERGENCE, `return branch(divergence, past, prev, behind_common);`, `return branch(divergence, past, entries[at].at, behind_common);`],
    ['3', 'seam', 'events between the last page and live are left out', HUB, `        for (uint32_t i = 0; i < subscriber->member_count; ++i)\n            fanout_add(&subscriber->members[i]);`,
        `        for (uint32_t i = 0; i < subscriber->member_count; ++i)\n            if (update->page.count == 0 || i != 0)\n                fanout_add(&subscriber->members[i]);`],
    ['3', 'head-first', 'a stream whose head was sent early begins with the present', REPLAY, `return request->head_sent ||`, `return false && request->head_sent &&`],
    ['4', 'no-gap', 'a stream that resumes is told no gap', REPLAY, `    if (!is_owed(replay, place) || (joins_on(place) && !lost))\n        return true;`, `    if (true || !is_owed(replay, place) || (joins_on(place) && !lost))\n        return true;`],
    ['4', 'trimmed', 'a history that was trimmed is taken for whole', PLACES, `        *gap = gap_if(exact ? prev != 0 : prev > 0, PLACE_GAP_BY_EVENT);`, `        *gap = gap_if(exact ? prev < 0 : false, PLACE_GAP_BY_EVENT);`],
    ['4', 'false-gap', 'each stream that resumes by a time is told a gap', PLACES, `        *gap = gap_if(exact ? prev != 0 : prev > 0, PLACE_GAP_BY_EVENT);`, `        *gap = gap_if(exact ? prev != 0 : true, PLACE_GAP_BY_EVENT);`],
    ['4', 'foreign-id', 'an id that nobody knows stands for the present', PLACES, `        place->time_ms = places_present_ms(replay);\n        place->loss = LOSS_ALL;`, `        place->time_ms = places_present_ms(replay);`],
    ['4', 'no-barrier', 'an id that is newer than what has come is looked up at once', REPLAY, `    replay->data = data;`, `    replay->data = data;\n    replay->state = REPLAY_BEHIND_BARRIER;`],
    ['4', 'same-millisecond', 'a place that is a time leaves out its own millisecond', PLACES, `(struct position){ms - 1, UINT64_MAX}`, `(struct position){ms, UINT64_MAX}`],
    ['4', 'no-margin', 'the clocks of two shards are taken for one', PLACES, `uint64_t margin = shard_at(replay, i) == of ? 0 : replay->shared->margin_ms;`, `uint64_t margin = 0;`],
    ['4', 'later-place', 'of two places that an id stands for, the later one is taken', PLACES, `position_compare(place->after, after) <= 0)`, `position_compare(place->after, after) >= 0)`],
    ['4', 'unsettled-ids', 'events keep their ids while another channel is read up', 'gateway/stream/batch.c', `variant, !event->event.unsettled);`, `variant, true);`],
    ['4', 'clock-back', 'a clock that was set back is not remembered', 'gateway/feed/clock_steps.c', `    bool back = steps->known && steps->least_ms - most > CLOCK_NOISE_MS;`, `    bool back = false && steps->known && steps->least_ms - most > CLOCK_NOISE_MS;`],
    ['B1', 'vanished', 'a history that restarted proves that nothing was missed', PLACES, `    *gap = gap_if(place->time_ms < horizon_ms, PLACE_GAP_BY_TIME);`, `    *gap = gap_if(false && place->time_ms < horizon_ms, PLACE_GAP_BY_TIME);`],
    ['B1', 'marker-unread', 'an absent history proves that nothing was missed, whatever the marker says', READ, `    if (lost)\n        channel_emit_gap(channel, marker->last, marker->now_ms);\n`, ''],
    ['B1', 'restarted', 'a gateway whose subscription was interrupted takes a new history for the rest of the old one', READ, `    if (!channel->interrupted)\n        return false;\n    if (shard == NULL)`, `    if (channel->interrupted || true)\n        return false;\n    if (shard == NULL)`],
    ['B8', 'from-memory', 'events that were deleted are served from memory', REPLAY, `has_ended_one(replay)) || replay->verified)`, `has_ended_one(replay)) || replay->verified || true)`],
    ['5', 'from-start', 'an id stands for the beginning of the history', PLACES, `            stand_at(replay, i, place->claimed);`, `            stand_at(replay, i, POSITION_NONE);`],
    ['5', 'page-twice', 'the first event of each page of a replay comes again', REPLAY, `    ++place->next;\n    place->after = frame->at;`, `    place->next += place->served;\n    place->after = frame->at;`],
    ['6', 'never-closed', 'a client that does not read is never closed', 'gateway/stream/slow.c', `    close_stuck(slow, now);\n    close_behind(slow, now);`, `    (void)now;`],
    ['6', 'stuck', 'a stream that was slow gets nothing any more', SUBSCRIBER, `    subscriber->busy = false;\n    flush(subscriber);`, `    if (subscriber->queue.count < 3)\n        subscriber->busy = false;\n    flush(subscriber);`],
    ['7', 'drain-idle', 'a drain ends no stream', HUB, `    if (hub->drain.until_ms != 0)\n        drain_some(hub);\n`, `    (void)drain_some;\n`],
    ['8', 'leak-frame', 'the copy of an event for streams of several channels is kept', HUB, `        if (hub->serving.frame != NULL)\n            frame_unref(hub->serving.frame);\n`, ''],
    ['8', 'leak-request', 'the request of a stream that leaves within its replay is kept', HUB, `        feed_request_free(subscriber->join_request);\n        leave_soon(subscriber);`, `        leave_soon(subscriber);`],
    ['8', 'leak-channel', 'a channel that nobody listens to any more is kept', 'gateway/stream/hub_channel.c', `    fanout_dispose(&channel->fanout);\n    free(channel);`, `    fanout_dispose(&channel->fanout);`],
    ['8', 'leak-queue', 'the queue of a stream that is closed is kept', SUBSCRIBER, `    queue_clear(subscriber); /* no transport reads it from now on */\n`, ''],
    ['9', 'stranger-proof', 'an entry by hand proves that the history goes on', DIVERGENCE, `    bool fork = true;\n`, `    bool fork = count == 0;\n`],
    ['9', 'stranger-alone', 'a history without events has lost none', PLACES, `if (is_looked_up(place) && first == NULL && position_compare(place->claimed, last) <= 0)`, `if (first == NULL)`],
    ['9', 'stranger-place', 'an entry by hand at the position of a lost event stands for it', 'gateway/feed/replay_read.c', `position_compare(entries[0].at, at) == 0 && payload_is_event(&entries[0], &message);`, `position_compare(entries[0].at, at) == 0 && (payload_is_event(&entries[0], &message) || true);`],
    ['9', 'stranger-counted', 'entries by hand count among the newest events', 'gateway/feed/newest.c', `        if (!payload_is_event(&entries[i], &message))\n            continue;\n`, `        (void)message;\n`],
    ['9', 'stranger-named', 'an event names the entry before it, whoever added that', LUA, `    if not newest or is_event(newest) then\n        return newest`, `    if newest or not is_event(newest) then\n        return newest`],
    ['ends', 'end-untold', 'open streams are not told an end', HUB, `    if (update->event.frame->kind == FRAME_END)\n        return serve_end(update, fanout, budget);`, `    if (update->event.frame->kind == FRAME_END)\n        return (void)serve_end, true;`],
    ['ends', 'end-open', 'a stream goes on behind the ends of all its channels', HUB, `subscriber_end(subscriber, CLOSE_ENDED, frame); /* another takes its place in the array */`, `++fanout->cursor, subscriber_push(subscriber, frame);`],
    ['ends', 'end-in-page', 'a stream of one channel goes on behind an end within a page', HUB, `return frame->kind == FRAME_END && !subscriber_variant`, `return false && frame->kind == FRAME_END && !subscriber_variant`],
    ['ends', 'no-204', 'who has had the end gets a stream', HUB, `(gap_ends || (is_over && resumes))`, `(gap_ends || (false && is_over && resumes))`],
    ['ends', 'over-late', 'the id behind all ends stands for the next millisecond', 'gateway/stream/ends.c', `ended_ms > over_ms ? ended_ms : over_ms`, `ended_ms > over_ms ? ended_ms + 1 : over_ms`],
    ['ends', 'lease-never', 'no lease runs out', CHANNEL, `    if (!is_leased(channel))\n        return;`, `    if (true || !is_leased(channel))\n        return;`],
    ['ends', 'lease-early', 'a lease is over at once', CHANNEL, `    if (channel->shard->proven_ms <= lease_end_ms(channel)) {`, `    if (false && channel->shard->proven_ms <= lease_end_ms(channel)) {`],
    ['past', 'earliest-late', 'the earliest event is the one behind the first in memory', REPLAY, `        replay->places[i].stance = STANCE_TIME;\n}`, `        if (replay->places[i].stance = STANCE_TIME, channel_ring(replay->places[i].channel)->count != 0)\n            replay->places[i].after = ring_at(channel_ring(replay->places[i].channel), 0)->at;\n}`],
    ['past', 'poll-loses', 'the last event of an answer is left out', HUB, `    subscriber_replay(subscriber, update->page.frames, taken);`, `    subscriber_replay(subscriber, update->page.frames, taken > 1 ? taken - 1 : taken);`],
    ['past', 'poll-repeats', 'a client that polls goes on from the first event of an answer', 'gateway/stream/poll.c', `        last = frame->id_len != 0 ? frame_id(frame) : last;`, `        last = frame->id_len != 0 && last.p == NULL ? frame_id(frame) : last;`],
    ['past', 'poll-loops', 'a client that polls several channels goes on from an event', HUB, `    else if (!poll->ended)\n        find_next`, `    else if (false && !poll->ended)\n        find_next`],
    ['past', 'poll-304', 'an answer with events is 304', 'gateway/stream/poll.c', `(slice_eq(known, SLICE("*")) || memmem`, `(true || slice_eq(known, SLICE("*")) || memmem`],
    ['batches', 'batch-first', 'only the first event of a batch is taken', CHANNEL, `    for (size_t i = 0; i != count; ++i) {\n        metric_add`, `    for (size_t i = 0; i != count; ++i) {\n        if (i != 0) {\n            frame_unref(frames[i]);\n            continue;\n        }\n        metric_add`],
    ['batches', 'batch-backwards', 'the events of a batch are taken from its end', CHANNEL, `take(channel, frames[i], ARRIVAL_NEW);`, `take(channel, frames[count - 1 - i], ARRIVAL_NEW);`],
    ['batches', 'batch-twice', 'each event of a batch is held once more', 'gateway/feed/decode.c', `            frames[count++] = frame_of(channel, &message);`, `            frame_ref(frames[count++] = frame_of(channel, &message));`],
    ['batches', 'batch-live-only', 'a batch that comes while the history is read is dropped', CHANNEL, `    size_t count = payload_frames(frames, channel_name(channel), payload);`, `    size_t count = channel->state != LIVE && message_is_batch(payload) ? 0 : payload_frames(frames, channel_name(channel), payload);`],
    ['9', 'foreign-entry', 'an entry that somebody added by hand ends the gateway', 'gateway/feed/decode.c', `    struct frame *frame = entry->payload.p == NULL ? NULL : payload_frame`, `    if (entry->payload.p == NULL)\n        __builtin_trap();\n    struct frame *frame = payload_frame`],
];

const args = process.argv.slice(2), names = [];
let seeds = 10000, scratch, check = false;
for (let i = 0; i < args.length; ++i) {
    if (args[i] === '--seeds')
        seeds = Number(args[++i]);
    else if (args[i] === '--scratch')
        scratch = args[++i];
    else if (args[i] === '--check')
        check = true;
    else
        names.push(args[i]);
}
const wanted = BREAKS.filter(([, name]) => names.length === 0 || names.includes(name));

const misfits = wanted.filter(([, , , file, from]) => readFileSync(join(ROOT, file), 'utf8').split(from).length !== 2).map(([, name, , file]) => `${name}: not once in ${file}`);
for (const misfit of misfits)
    console.error(misfit);
if (misfits.length !== 0 || check)
    process.exit(misfits.length !== 0 ? 1 : 0);

const keep = scratch !== undefined;
scratch ??= mkdtempSync(join(tmpdir(), 'simulation-broken-'));
if (!existsSync(join(scratch, '.git')))
    execFileSync('git', ['clone', '-q', ROOT, scratch]);
const run = (command, ...words) => spawnSync(command, words, { cwd: scratch, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 600000 });

function build(target) {
    const { status, stdout, stderr } = run('cmake', '--build', 'build/release', '--target', target);
    if (status !== 0)
        throw new Error(`${stdout}${stderr}`);
}

// The first seed that fails, and why; without those that fail as it is.
function look(file, known) {
    if (file === LUA) {
        build('model_check');
        const { stdout } = run('build/release/tests/simulation/model_check', '--rounds', '200');
        const found = /^# seed (\d+), command \d+: (.*)$/m.exec(stdout);
        return found === null ? [] : [[Number(found[1]), `model_check: ${found[2]}`]];
    }
    build('simulate');
    const { stdout, signal, stderr } = run('build/release/simulate', '--seeds', `1..${seeds}`);
    const found = [...stdout.matchAll(/^seed (\d+): FAILED: (.*)$/gm)].map(([, seed, why]) => [Number(seed), why]).filter(([seed]) => !known.has(seed)).sort(([a], [b]) => a - b);
    if (found.length !== 0 && /^it ended with/.test(found[0][1])) {
        const alone = run('build/release/simulate', '--seed', `${found[0][0]}`), last = `${alone.stdout}${alone.stderr}`.trim().split('\n').pop();
        found[0] = /^calm world/.test(last) ? ['calm', last.replace(/^calm world \d+: /, '')] : [found[0][0], last];
    }
    return found.length === 0 && signal !== null ? [['–', `${signal} ${stderr.trim().split('\n').pop()}`]] : found;
}

run('cmake', '--preset', 'release');

// What fails without a break; kept with a scratch folder that stays.
function failing() {
    const path = join(scratch, 'build/failing.json'), is = `${run('git', 'rev-parse', 'HEAD').stdout.trim()} ${seeds}`;
    const kept = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
    if (kept.is !== is)
        Object.assign(kept, { is, seeds: look(CHANNEL, new Set()).map(([seed]) => seed) });
    writeFileSync(path, JSON.stringify(kept));
    return new Set(kept.seeds);
}

const known = failing();
if (known.size !== 0)
    console.error(`${known.size} of the seeds fail without a break, and count for nothing`);
console.log('| promise | broken | found by seed | as | of the seeds |\n|---|---|---|---|---|');
let missed = 0;
for (const [promise, name, what, file, from, to] of wanted) {
    const path = join(scratch, file), text = readFileSync(path, 'utf8');
    writeFileSync(path, text.split(from).join(to));
    try {
        const found = look(file, known);
        missed += found.length === 0;
        console.log(`| ${promise} | \`${name}\`: ${what} | ${found.length === 0 ? '**not found**' : `${found[0][0]} | ${found[0][1]} | ${found.length}`} |`);
    } catch (error) {
        missed += 1;
        console.log(`| ${promise} | \`${name}\` | does not build: ${error.message.split('\n').find(line => /error/.test(line))} | | |`);
    } finally {
        writeFileSync(path, text);
    }
}
if (!keep)
    rmSync(scratch, { recursive: true });
process.exit(missed !== 0 ? 1 : 0);
