// One table of long options gives the parser, --help and the bash completion.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arg_opt {
	const char *name;  // without dashes
	const char *value; // placeholder shown in --help, NULL for a flag
	const char *help;  // one line
	const char **text; // where the value goes (borrowed from argv), or NULL
	bool *flag;        // set true when given, or NULL
};

// Parse argv against opts (terminated by a row with name NULL). --help, --version and --bash-completion
// are built in.
//
// in:      synopsis  after "usage: " in --help; "" or NULL: "PROGRAM [options]"
//          version   without the program's name
// returns: 0 go on; 1 help or version was printed, exit with 0; -EINVAL after printing usage to stderr,
//          exit with 64
[[nodiscard]] int args_parse(int argc, char **argv, const struct arg_opt *opts, const char *synopsis,
			     const char *version);
