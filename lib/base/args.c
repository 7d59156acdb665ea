#include "lib/base/args.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void print_option(FILE *out, const char *name, const char *value, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, value ? "=" : "", value ? value : "");
	fprintf(out, "  %-28s %s\n", left, help ? help : "");
}

static void print_usage(FILE *out, const char *program, const struct arg_opt *opts, const char *synopsis)
{
	if (synopsis && *synopsis)
		fprintf(out, "usage: %s\n\n", synopsis);
	else
		fprintf(out, "usage: %s [options]\n\n", program);
	for (const struct arg_opt *o = opts; o->name; o++)
		print_option(out, o->name, o->value, o->help);
	print_option(out, "bash-completion", NULL, "print a completion script for bash and exit");
	print_option(out, "version", NULL, "print the version and exit");
	print_option(out, "help", NULL, "print this and exit");
}

static void print_completion(FILE *out, const char *program, const struct arg_opt *opts)
{
	fprintf(out, "complete -o default -W '");
	for (const struct arg_opt *o = opts; o->name; o++)
		fprintf(out, "--%s%s ", o->name, o->value ? "=" : "");
	fprintf(out, "--bash-completion --version --help' %s\n", program);
}

static int usage_error(const char *program, const char *what, const char *arg)
{
	fprintf(stderr, "%s: %s: %s (see %s --help)\n", program, arg, what, program);
	return -EINVAL;
}

// 1 when arg was one of the built-in options.
static int run_builtin(const char *arg, const char *program, const struct arg_opt *opts, const char *synopsis,
		       const char *version)
{
	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
		print_usage(stdout, program, opts, synopsis);
	else if (strcmp(arg, "--version") == 0)
		printf("%s %s\n", program, version);
	else if (strcmp(arg, "--bash-completion") == 0)
		print_completion(stdout, program, opts);
	else
		return 0;
	return 1;
}

static const struct arg_opt *opt_find(const struct arg_opt *opts, const char *name, size_t len)
{
	for (const struct arg_opt *o = opts; o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

int args_parse(int argc, char **argv, const struct arg_opt *opts, const char *synopsis, const char *version)
{
	const char *program = argc > 0 ? base_name(argv[0]) : "sluice";

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i], *equals = strchr(arg, '=');
		const struct arg_opt *o;

		if (run_builtin(arg, program, opts, synopsis, version))
			return 1;
		if (strncmp(arg, "--", 2) != 0)
			return usage_error(program, "not an option", arg);
		o = opt_find(opts, arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
		if (o == NULL)
			return usage_error(program, "unknown option", arg);
		if (o->value == NULL && equals)
			return usage_error(program, "takes no value", arg);
		if (o->value && !equals && ++i == argc)
			return usage_error(program, "needs a value", arg);
		if (o->text && o->value)
			*o->text = equals ? equals + 1 : argv[i];
		if (o->flag)
			*o->flag = true;
	}
	return 0;
}
