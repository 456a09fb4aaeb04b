// Static analysis of every C file that the build compiles: gcc -fanalyzer, clang-tidy (.clang-tidy says which checks and why) and cppcheck.
//
//     node tests/lint/analysis.mjs BUILD_DIR [file…]       BUILD_DIR: configured and built, for its compile_commands.json and generated headers
//
// A finding is mended, or argued: in the code where a comment can silence it, else below. An argument that nothing needs any more is a fault, too.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { ROOT } from './source.mjs';

// Checks of gcc's analyser that are off. Version 12 calls C support new; both of these are clang's too, which gets them right here.
const GCC_OFF = {
    'malloc-leak': 'memory that is handed on by the address of a member (libh2o\'s messages and links, uthash) counts as leaked; clang\'s unix.Malloc looks ' +
        'for leaks, and so does LeakSanitizer in each run of the tests under asan',
    'use-of-uninitialized-value': 'forgets what a struct that is passed by value was initialized with; clang\'s core.uninitialized doesn\'t',
};

// [analyser, start of the file's name, part of "check text", why]
const EXCEPTIONS = [
    ['clang-tidy', 'runtime/redis/subscribe.c', 'clang-analyzer-unix.Malloc',
        'the members of a uthash table are different ones, which it does not know: HASH_ITER has taken the next before this one is freed'],
    ['clang-tidy', 'runtime/auth/token_cache.c', 'clang-analyzer-unix.Malloc', 'nor that HASH_DEL makes the next member the first of the table'],
    ['clang-tidy', 'gateway/stream/hub.c', 'clang-analyzer-core.NullDereference',
        'takes a channel that is in no table although the table is empty: find_or_create() puts each into it, free_if_unused() alone takes it out'],
    ['clang-tidy', 'runtime/h2o/h1_guard.c', 'bugprone-signed-char-misuse', 'the state of the decoder is a small number that libh2o keeps in a char'],
    ['clang-tidy', 'tests/unit/', 'insecureAPI.strcpy', 'texts that the test itself has put together, in room that is theirs'],
    ['gcc -fanalyzer', 'runtime/slice.h', 'use of NULL ‘want’', 'test_jwt.c: "want == NULL ? …" is forgotten within the macro check_slice()'],
    ['gcc -fanalyzer', 'tests/bench/floor_stream.c', 'use of NULL ‘digits’', 'it is NULL only where `end` is, and then they are equal'],
    ['cppcheck', 'tests/unit/test_listener.c', 'doubleFree', 'the second close() is of another connection: it does not look into the macro check()'],
    ['cppcheck', 'tests/unit/test_bus.c', 'nullPointer', 'NULL is what accept4() takes'],
    ['cppcheck', 'tests/unit/test_sandbox.c', 'leakReturnValNotUsed', 'calls that must fail, in a process that ends'],
    ['cppcheck', 'tests/unit/test_tls.c', 'Uninitialized variable: answer', 'memmem() over the n bytes that were read so far'],
    ['cppcheck', 'tests/bench/floor.c', 'nullPointer', 'NULL is what accept4() takes'],
    ['cppcheck', 'tests/hardening/wire.c', 'Uninitialized variable: payload', 'put_u32() has filled it'],
    ['cppcheck', 'tests/hardening/watch.c', 'resourceLeak', 'main() returns'],
    ['clang-tidy', 'tests/hardening/watch.c', 'clang-analyzer-unix.Malloc', 'main() returns'],
    ['cppcheck', '', 'readdirCalled', 'each of our directories is read by one thread, which is all that readdir() asks; readdir_r() is deprecated'],
    ['clang-tidy', '/usr/include/h2o/linklist.h', 'clang-analyzer-',
        'does not follow that h2o_linklist_unlink() takes a node out of its list, and so sees it freed while it is in there'],
];

const [build, ...only] = process.argv.slice(2);
if (!build) {
    console.error('usage: node tests/lint/analysis.mjs BUILD_DIR [file…]');
    process.exit(2);
}
const database = join(build, 'compile_commands.json');
const entries = [...new Map(JSON.parse(readFileSync(database, 'utf8')).map(entry => [relative(ROOT, entry.file), entry]))]
    .filter(([file]) => !file.startsWith('..') && (only.length === 0 || only.includes(file)));
const used = new Set();

function run(command, args, options) {
    return new Promise(resolve => execFile(command, args, { ...options, maxBuffer: 1 << 28 },
        (error, stdout, stderr) => resolve({ stdout, stderr, status: error ? error.code : 0 })));
}

// { file, line, text, check } of each line that `pattern` matches.
function findings(output, pattern) {
    return [...output.matchAll(pattern)].map(({ groups }) => ({ ...groups, file: groups.file.startsWith(`${ROOT}/`) ? relative(ROOT, groups.file) : groups.file }));
}

const ANALYSERS = {
    // Asserts are facts for an analyser: -UNDEBUG.
    'gcc -fanalyzer': entry => run('sh', ['-c', `${entry.command} -UNDEBUG -fanalyzer -Wno-error -o /dev/null \
        -fdiagnostics-plain-output -fdiagnostics-path-format=none ${Object.keys(GCC_OFF).map(check => `-Wno-analyzer-${check}`).join(' ')}`],
    { cwd: entry.directory }).then(({ stderr, status }) => (status === 0 ? findings(stderr,
        /^(?<file>[^:\n]+):(?<line>\d+):\d+: warning: (?<text>.*) \[-W(?<check>analyzer-[\w-]+)\]$/mg) : failed(entry, stderr))),
    'clang-tidy': entry => run('clang-tidy', ['--quiet', '-p', build, '--extra-arg=-UNDEBUG', entry.file])
        .then(({ stdout }) => findings(stdout, /^(?<file>[^:\n]+):(?<line>\d+):\d+: (?:error|warning): (?<text>.*?)(?: \[(?<check>[\w.,-]+)\])?$/mg)),
};

function failed(entry, output) {
    return [{ file: relative(ROOT, entry.file), line: 0, text: output.slice(0, 2000), check: 'does not compile' }];
}

// All files at once: it takes seconds. It knows neither uthash nor which functions of ours do not return.
function cppcheck() {
    return run('cppcheck', [`--project=${database}`, '--enable=warning,performance,portability', '--inline-suppr', '--std=c11', '--quiet', '-UNDEBUG',
        '--library=posix,gnu', `--library=${ROOT}/tests/lint/cppcheck.cfg`, '--suppress=*:/usr/include/*', '-j', String(jobs),
        '--template={file}:{line}: {message} [{id}]', ...(only.length ? only.map(file => `--file-filter=*${file}`) : [])])
        .then(({ stdout, stderr }) => findings(stdout + stderr, /^(?<file>[^:\n]+):(?<line>\d+): (?<text>.*) \[(?<check>\w+)\]$/mg));
}

const jobs = Math.min(2, availableParallelism());
async function each(items, work) {
    const results = [];
    const queue = [...items];
    await Promise.all(Array.from({ length: jobs }, async () => {
        for (let item; (item = queue.shift()) !== undefined;)
            results.push(...await work(item));
    }));
    return results;
}

function isArgued(analyser, finding) {
    const exception = EXCEPTIONS.find(([name, file, check]) => name === analyser && finding.file.startsWith(file) &&
        `${finding.check} ${finding.text}`.includes(check));
    used.add(exception);
    return exception !== undefined;
}

function report(analyser, found, since) {
    const left = new Set(found.filter(finding => !isArgued(analyser, finding)).map(({ file, line, text, check }) => `${file}:${line}: ${text} [${check}]`));
    if (only.length === 0)
        for (const [name, file, check] of EXCEPTIONS.filter(exception => exception[0] === analyser && !used.has(exception)))
            left.add(`${file}: nothing needs the exception for ${check} any more`);
    for (const line of [...left].sort())
        console.log(line);
    console.log(`${analyser}, ${entries.length} files in ${Math.round((Date.now() - since) / 1000)} s: ${left.size === 0 ? 'clean' : 'FAILED'}`);
    return left.size;
}

let faults = 0;
let since = Date.now();
faults += report('cppcheck', await cppcheck(), since);
for (const [name, analyse] of Object.entries(ANALYSERS)) {
    since = Date.now();
    faults += report(name, await each(entries.map(([, entry]) => entry), analyse), since);
}
process.exitCode = faults === 0 ? 0 : 1;
