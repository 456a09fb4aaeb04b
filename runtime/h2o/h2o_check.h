/* Whether the libh2o in this process is the one that this program is made for. */
#pragma once

/* NULL when the library in this process is 2.2.5 and will call our functions, else a static sentence. Once at the start, before threads: a program that
 * gets a sentence must not run, since what it reads of the library's structs, and what it guards, would be another's. */
const char *h2o_check(void);
