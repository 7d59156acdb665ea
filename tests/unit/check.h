// Assertions that print both values (CUnit's do not), and the shape of a suite.
//
// tests/unit/PART/NAME_test.c ends with
//   CU_TestInfo NAME_tests[] = {{"behaviour in words", test_function}, ..., CU_TEST_INFO_NULL};
#pragma once

#include <CUnit/CUnit.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void check_note(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void check_skip(const char *why); // marks the running test as skipped; return right after

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		bool check_ok_ = (cond);                                                           \
		if (!check_ok_)                                                                    \
			check_note(__FILE__, __LINE__, "%s", #cond);                               \
		CU_assertImplementation(check_ok_, __LINE__, #cond, __FILE__, "", CU_FALSE);       \
	} while (0)
#define CHECK_EQ(got, want)                                                                        \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_)                                                                 \
			check_note(__FILE__, __LINE__, "%s is %lld (0x%llx), want %lld (0x%llx)", #got, got_,    \
				   got_, want_, want_);                                            \
		CU_assertImplementation(got_ == want_, __LINE__, #got " == " #want, __FILE__, "", CU_FALSE);   \
	} while (0)
#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		bool same_ = got_ && want_ && strcmp(got_, want_) == 0;                            \
		if (!same_)                                                                        \
			check_note(__FILE__, __LINE__, "%s is \"%s\", want \"%s\"", #got, got_ ? got_ : "(null)",  \
				   want_ ? want_ : "(null)");                                      \
		CU_assertImplementation(same_, __LINE__, #got " == " #want, __FILE__, "", CU_FALSE);   \
	} while (0)
#define CHECK_MEM(got, want, len)                                                                  \
	do {                                                                                       \
		size_t len_ = (len), at_ = 0;                                                      \
		const unsigned char *got_ = (const void *)(got), *want_ = (const void *)(want);    \
		while (at_ < len_ && got_[at_] == want_[at_])                                      \
			at_++;                                                                     \
		if (at_ < len_)                                                                    \
			check_note(__FILE__, __LINE__, "%s differs at byte %zu: %02x, want %02x", #got, at_,     \
				   got_[at_], want_[at_]);                                         \
		CU_assertImplementation(at_ == len_, __LINE__, #got " == " #want, __FILE__, "", CU_FALSE);     \
	} while (0)
// For when going on would crash: returns from the test.
#define CHECK_OR_RETURN(cond)                                                                      \
	do {                                                                                       \
		bool go_on_ = (cond);                                                              \
		if (!go_on_)                                                                       \
			check_note(__FILE__, __LINE__, "%s", #cond);                               \
		CU_assertImplementation(go_on_, __LINE__, #cond, __FILE__, "", CU_FALSE);          \
		if (!go_on_)                                                                       \
			return;                                                                    \
	} while (0)
