#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/args.h"
#include "lib/base/err.h"

static const char *config;
static bool check_only, help_me;
static const struct arg_opt opts[] = {
	{"config", "FILE", "configuration file", &config, NULL},
	{"check-config", NULL, "only check", NULL, &check_only},
	{"print-config", "FILE", "print", &config, &help_me},
	{NULL},
};

// What parsing printed on stdout and stderr.
static char printed[4096];

static int parse(char *arg1, char *arg2)
{
	char *argv[] = {"/usr/bin/sluice-x", arg1, arg2, NULL}, path[] = "/tmp/args-test-XXXXXX";
	int rc, tmp = mkstemp(path), out = dup(1), err = dup(2);
	ssize_t n;

	unlink(path);
	config = NULL;
	check_only = help_me = false;
	fflush(stdout);
	dup2(tmp, 1);
	dup2(tmp, 2);
	rc = args_parse(arg2 ? 3 : arg1 ? 2 : 1, argv, opts, "", "1.2");
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	n = pread(tmp, printed, sizeof(printed) - 1, 0);
	printed[n > 0 ? n : 0] = '\0';
	close(tmp);
	close(out);
	close(err);
	return rc;
}

static void test_values_and_flags(void)
{
	CHECK_EQ(parse(NULL, NULL), 0);
	CHECK(config == NULL && !check_only);
	CHECK_EQ(parse("--config", "a.yaml"), 0);
	CHECK_STR(config, "a.yaml");
	CHECK_EQ(parse("--config=b=c", "--check-config"), 0);
	CHECK_STR(config, "b=c");
	CHECK(check_only);
	CHECK_EQ(parse("--print-config=x", NULL), 0);
	CHECK(help_me);
	CHECK_STR(config, "x");
	CHECK_STR(printed, "");
}

static void test_mistakes_are_refused(void)
{
	CHECK_EQ(parse("--confg", "x"), -EINVAL);
	CHECK_STR(printed, "sluice-x: --confg: unknown option (see sluice-x --help)\n");
	CHECK_EQ(parse("--config", NULL), -EINVAL);
	CHECK(strstr(printed, "needs a value"));
	CHECK_EQ(parse("--check-config=1", NULL), -EINVAL);
	CHECK(strstr(printed, "takes no value"));
	CHECK_EQ(parse("file", NULL), -EINVAL);
	CHECK(strstr(printed, "not an option"));
}

static void test_help_version_completion(void)
{
	CHECK_EQ(parse("--help", NULL), 1);
	CHECK(strstr(printed, "--config=FILE"));
	CHECK(strstr(printed, "only check"));
	CHECK_EQ(parse("--version", NULL), 1);
	CHECK_STR(printed, "sluice-x 1.2\n");
	CHECK_EQ(parse("--bash-completion", NULL), 1);
	CHECK(strstr(printed, "--config= --check-config "));
}

CU_TestInfo args_tests[] = {
	{"values come after = or as the next word, flags alone", test_values_and_flags},
	{"mistakes are refused with one line", test_mistakes_are_refused},
	{"help, version and completion are built in", test_help_version_completion},
	CU_TEST_INFO_NULL,
};
