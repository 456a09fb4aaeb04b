/* runtime/h2_head: header blocks are counted as libh2o decodes them, and what may not stand in a request. */
#include "runtime/h2o/h2_head.h"

#include "tests/check.h"

static size_t count_of(const char *block, size_t n, size_t max)
{
    return h2_head_instructions((const uint8_t *)block, n, max);
}

#define COUNT(block, max) count_of(block, sizeof(block) - 1, max)

static const char *fault_of(const char *name, const char *value)
{
    h2o_iovec_t text = h2o_iovec_init(name, strlen(name));
    h2o_header_t header = {.name = &text, .value = h2o_iovec_init(value, strlen(value))};
    return h2_head_fault(&(h2o_headers_t){.entries = &header, .size = 1});
}

int main(void)
{
    check(COUNT("", 100) == 0, "an empty block holds nothing");
    check(COUNT("\x82\x86\x84", 100) == 3, "an index is one");
    check(COUNT("\xff\x80\x01\x82", 100) == 2, "… of several bytes, too");
    check(COUNT("\x41\x03www\x82", 100) == 2, "a literal with a name of the table");
    check(COUNT("\x40\x01"
                "a\x01"
                "b\x82",
                100) == 2,
          "a literal with a name of its own");
    check(COUNT("\x00\x81\xff\x02xy\x10\x01z\x00\x82", 100) == 3, "not indexed, never indexed, Huffman");
    check(COUNT("\x0f\x0d\x01"
                "7\x82",
                100) == 2,
          "an index above the prefix");
    check(COUNT("\x20\x3f\xe1\x1f\x82", 100) == 3, "sizes of the table count");
    check(COUNT("\xbe\xbe\xbe\xbe\xbe\xbe", 3) == 4, "counting stops above the most");
    check(COUNT("\x82\x41\x7fwww", 100) == 2, "a block that is cut short ends there");
    check(COUNT("\x82\xff\xff\xff\xff\xff\xff\x01", 100) == 2, "an integer that is too long, too");
    check(COUNT("\x40", 100) == 1 && COUNT("\x7f", 100) == 1 &&
              COUNT("\x00\x05"
                    "ab",
                    100) == 1,
          "wherever it is cut");

    check(fault_of("accept", "text/html") == NULL && fault_of("x", "") == NULL, "fields as they are");
    check(fault_of("", "x") != NULL, "no name");
    check(fault_of("x", " y") != NULL && fault_of("x", "y\t") != NULL, "a value with a blank at an end");
    check(fault_of("keep-alive", "x") != NULL && fault_of("proxy-connection", "x") != NULL,
          "what belongs to connections of HTTP/1.1");
    return 0;
}
