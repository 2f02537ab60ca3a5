/* SPDX-License-Identifier: MIT */
/*
 * Proves that a buffer is never overrun and always terminated, and that of the text of other
 * programs only what shows is shown: no control character, no blank, no mark of direction, nothing
 * without a width.
 */
#include "nqptp-text.h"

#include "../lib/tap.h"

/* --- appending ---------------------------------------------------------------------------------
 */

static void test_appending(void) {
    char buffer[9] = "????????";
    struct nqptp_text text = {buffer, 8, 0};

    nqptp_text_add(&text, "%s", "");
    CHECK_EQ_STR(buffer, "", "an empty text is terminated");
    nqptp_text_add(&text, "%d-", 12);
    nqptp_text_add(&text, "%s", "abc");
    CHECK_EQ_STR(buffer, "12-abc", "a text comes after the one before");
    CHECK_EQ_U64(text.used, 6, "its length is counted");
    nqptp_text_add(&text, "d");
    CHECK_EQ_STR(buffer, "12-abcd", "a text that fills the buffer is whole");
    nqptp_text_add(&text, "efg");
    CHECK_EQ_STR(buffer, "12-abcd", "what does not fit is left out");
    CHECK_EQ_U64(text.used, 7, "the length of a full buffer is its size without the NUL");
    CHECK(buffer[8] == '\0', "nothing is written beyond the size");
}

static void test_cut(void) {
    char buffer[8];
    struct nqptp_text text = {buffer, 4, 0};

    memset(buffer, 'x', sizeof buffer);
    nqptp_text_add(&text, "%s", "12345678");
    CHECK_EQ_STR(buffer, "123", "a long text is cut");
    text.used = 1;
    nqptp_text_add(&text, "%s", "abc");
    CHECK_EQ_STR(buffer, "1ab", "a text without place for its NUL is cut");
    CHECK_EQ_U64(text.used, 3,
                 "a text without place for its NUL: its length is less than the size");
    CHECK(buffer[4] == 'x', "a long text: nothing is written beyond the size");
}

/* --- text of other programs ---------------------------------------------------------------------
 */

static void check_shown(const char *text, const char *expected, const char *name) {
    char shown[80];

    CHECK_EQ_STR(nqptp_text_show(text, "", shown, sizeof shown), expected, "%s", name);
}

/* Names as they are shown: a client may choose any bytes but control characters. */
static void test_utf_8(void) {
    check_shown("/K\xC3\xBC"
                "che",
                "/K\xC3\xBC"
                "che",
                "two bytes are unchanged");
    check_shown("/\xE5\xAF\x9D\xE5\xAE\xA4", "/\xE5\xAF\x9D\xE5\xAE\xA4", "three are unchanged");
    check_shown("/\xF0\x9F\x8E\xB5", "/\xF0\x9F\x8E\xB5", "four are unchanged");
    check_shown("/a\"b\\", "/a\"b\\", "quote and backslash are unchanged");
    check_shown("/cut\xE5\xAF", "/cut??", "a character that is cut short becomes ?");
    check_shown("/\xE5\xAFz", "/??z", "a character with a byte of another kind becomes ?");
    check_shown("/\x80\xBF", "/??", "bytes that begin no character become ?");
    check_shown("/\xC0\xAF", "/??", "a long form of two bytes becomes ?");
    check_shown("/\xC1\xBF", "/??", "the last long form of two bytes becomes ?");
    check_shown("/\xE0\x82\xA2", "/???", "a long form of three bytes becomes ?");
    check_shown("/\xF0\x82\x82\xA2", "/????", "a long form of four bytes becomes ?");
    check_shown("/\xF8\xFF\x80", "/???", "bytes of no character become ?");
    check_shown("/\xED\xA0\x80", "/???", "half of a surrogate becomes ?");
    check_shown("/\xF4\x90\x80\x80", "/????", "a character beyond the last one becomes ?");
}

/* Writes the character as UTF-8. */
static void encode(uint32_t code, char text[5]) {
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = bytes; i > 1; code >>= 6)
        text[--i] = (char)(0x80 | (code & 0x3F));
    text[0] = (char)(first[bytes] | code);
    text[bytes] = '\0';
}

static bool is_shown(uint32_t code) {
    char text[5], shown[5];

    encode(code, text);
    return strcmp(nqptp_text_show(text, "", shown, sizeof shown), text) == 0;
}

/* The first and the last of each range does not show, the characters around it do. */
static void test_what_does_not_show(void) {
    static const struct {
        uint32_t first, last;
        const char *name;
    } hidden[] = {
        {0x7F, 0xA0, "control characters and the no-break space"},
        {0xAD, 0xAD, "the soft hyphen"},
        {0x61C, 0x61C, "the Arabic mark of direction"},
        {0x1680, 0x1680, "the ogham space"},
        {0x2000, 0x200F, "spaces, joiners and marks of direction"},
        {0x2028, 0x202F, "line separators, embeddings and the narrow space"},
        {0x205F, 0x206F, "the mathematical space and isolates"},
        {0x2800, 0x2800, "the empty Braille pattern"},
        {0x3000, 0x3000, "the ideographic space"},
        {0x3164, 0x3164, "the Hangul filler"},
        {0xFE00, 0xFE0F, "variation selectors"},
        {0xFEFF, 0xFEFF, "the byte order mark"},
    };

    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        CHECK(is_shown(hidden[i].first - 1) && !is_shown(hidden[i].first) &&
                  !is_shown(hidden[i].last) && is_shown(hidden[i].last + 1),
              "not shown: %s; shown: the characters around", hidden[i].name);
    CHECK(is_shown(0x7FF) && is_shown(0x800) && is_shown(0xFFFD) && is_shown(0x10000),
          "the first and last characters of two, three and four bytes show");
    CHECK(!is_shown(0x1F) && is_shown(' '), "of ASCII the characters from the space on show");
    CHECK(is_shown(0xDFFFF) && !is_shown(0xE0000) && !is_shown(0xE0041) && !is_shown(0x10FFFF),
          "the planes from that of the tags on do not show");
}

/* A name with blanks could look like the words around it. */
static void test_name_with_blanks(void) {
    check_shown("/nqptp,\xC2\xA0layout\xE2\x80\x83"
                "10\xE3\x80\x80",
                "/nqptp,??layout???10???", "a name of several words is one word");
    CHECK(!is_shown(0x202E), "the mark of the direction from right to left is not shown");
}

static void check_quoted(const char *text, size_t size, const char *expected, const char *name) {
    char shown[80];

    CHECK_EQ_STR(nqptp_text_show(text, NQPTP_SHELL_ACTIVE, shown, size), expected, "%s", name);
}

/* Names as they are shown between double quotes, where a user may paste them. */
static void test_quoted_names(void) {
    check_quoted("ptp4l", 80, "ptp4l", "a plain name is unchanged");
    check_quoted("", 80, "", "an empty name stays empty");
    check_quoted("a\033[2Jb\nc\x7f\xff\xc3\xa4", 80, "a?[2Jb?c??\xc3\xa4",
                 "control characters and bytes that are no UTF-8 become ?");
    check_quoted("$(x)`y`'", 80, "?(x)?y??", "what a shell would read becomes ?");
    check_quoted("a\"b\\", 80, "a?b?", "a quote and a backslash become ?");
    check_quoted("12345678", 4, "123", "a long name is cut");
    check_quoted("12345678", 1, "", "the smallest buffer holds the empty text");
    check_quoted("\xc3\xa4", 2, "?", "a character that would be cut becomes ?");
    check_quoted("\xc3\xa4", 3, "\xc3\xa4", "a character that just fits is whole");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_appending,        test_cut,          test_utf_8, test_what_does_not_show,
        test_name_with_blanks, test_quoted_names,
    };
    TAP_RUN(tests);
    return tap_done();
}
