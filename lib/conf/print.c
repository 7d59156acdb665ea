// What the schema prints: effective values, the sample file, the manual's tables.
#include "lib/conf/conf.h"

#include <assert.h>
#include <string.h>

#include "lib/conf/schema.h"

#define HELP_COLUMNS 100

static const char *const section_help[][2] = {
	{"api", "HTTP and WebSocket, towards the Mattermost Calls plugin (sluice-cp)"},
	{"rtc", "ICE, DTLS and negotiation (sluice-cp); ports and addresses are read by sluice-dp too"},
	{"limits", "How much one node accepts (sluice-cp)"},
	{"audio", "Which voices a large call hears (both)"},
	{"dataplane", "Packets: ports, cores, memory (sluice-dp)"},
	{"store", "Where state is kept (sluice-cp)"},
	{"log", "Log lines on stderr (both)"},
	{"drain", "Shutting down (sluice-cp)"},
};

static const char *section_text(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(section_help) / sizeof(section_help[0]); i++)
		if (strlen(section_help[i][0]) == len && memcmp(section_help[i][0], name, len) == 0)
			return section_help[i][1];
	assert(!"a section of the schema without a text");
	return "";
}

// --- effective values --------------------------------------------------------------------------
static void print_url(FILE *out, const char *url)
{
	const char *scheme = strstr(url, "://"), *at = strrchr(url, '@');

	if (scheme && at && at > scheme)
		fprintf(out, "\"%.*s***%s\"", (int)(scheme + 3 - url), url, at);
	else
		fprintf(out, "\"%s\"", url);
}

static void print_value(FILE *out, const struct conf *conf, const struct conf_key *key)
{
	const void *at = (const char *)conf + key->offset;
	const struct conf_list *list = at;
	const char *text;

	switch (key->type) {
	case CONF_BOOL:
		fputs(*(const bool *)at ? "true" : "false", out);
		break;
	case CONF_U16:
		fprintf(out, "%u", *(const uint16_t *)at);
		break;
	case CONF_U32:
		fprintf(out, "%u", *(const uint32_t *)at);
		break;
	case CONF_I32:
		fprintf(out, "%d", *(const int32_t *)at);
		break;
	case CONF_STRING:
		text = *(char *const *)at;
		if (key->flags & CONF_SECRET_IN_URL)
			print_url(out, text);
		else
			fprintf(out, "\"%s\"", key->flags & CONF_SECRET && *text ? "***" : text);
		break;
	case CONF_LIST:
		fputc('[', out);
		for (unsigned i = 0; i < list->n; i++)
			fprintf(out, "%s\"%s\"", i ? ", " : "", list->item[i]);
		fputc(']', out);
		break;
	}
}

bool conf_is_default(const struct conf *conf, const char *path)
{
	for (unsigned i = 0; i < conf_n_keys; i++)
		if (strcmp(conf_schema[i].path, path) == 0)
			return conf->source[i] == CONF_DEFAULT;
	return false;
}

void conf_print(const struct conf *conf, FILE *out)
{
	static const char *const sources[] = {"default", "file", "environment"};

	for (unsigned i = 0; i < conf_n_keys; i++) {
		fprintf(out, "%s: ", conf_schema[i].path);
		print_value(out, conf, &conf_schema[i]);
		fprintf(out, " # %s\n", sources[conf->source[i]]);
	}
}

// --- sample ------------------------------------------------------------------------------------
static void indent(FILE *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		fputs("  ", out);
}

// Help as comment lines, broken at spaces.
static void print_comment(FILE *out, unsigned depth, const char *text)
{
	while (*text) {
		size_t room = HELP_COLUMNS - 2 * depth, len = strlen(text), cut = len;

		if (len > room) {
			cut = room;
			while (cut > 0 && text[cut] != ' ')
				cut--;
			cut = cut ? cut : room;
		}
		indent(out, depth);
		fprintf(out, "# %.*s\n", (int)cut, text);
		text += cut;
		text += *text == ' ';
	}
}

static void print_facts(FILE *out, unsigned depth, const struct conf_key *key)
{
	char facts[256] = "", env[128];

	conf_env_name(key, env, sizeof(env));
	if (key->unit)
		snprintf(facts, sizeof(facts), "%s, %lld to %lld. ", key->unit, (long long)key->min,
			 (long long)key->max);
	else if (key->syntax)
		snprintf(facts, sizeof(facts), "%s. ", key->syntax);
	snprintf(facts + strlen(facts), sizeof(facts) - strlen(facts), "$%s%s%s", env, key->env ? ", $" : "",
		 key->env ? key->env : "");
	print_comment(out, depth, facts);
}

static void print_default(FILE *out, unsigned depth, const struct conf_key *key, const char *name)
{
	bool is_quoted = key->type == CONF_STRING;

	indent(out, depth);
	fprintf(out, "#%s: %s%s%s\n", name, is_quoted ? "\"" : "", key->def, is_quoted ? "\"" : "");
}

// Open the sections of path that the path before it did not have; returns the depth of the leaf.
static unsigned open_sections(FILE *out, const char *path, const char *before, bool *opens)
{
	unsigned depth = 0;
	const char *dot;

	for (const char *part = path; (dot = strchr(part, '.')) != NULL; part = dot + 1, depth++) {
		size_t len = (size_t)(dot - path) + 1;

		if (strncmp(path, before, len) == 0)
			continue;
		if (!*opens)
			fputc('\n', out);
		*opens = true;
		if (depth == 0)
			print_comment(out, 0, section_text(path, len - 1));
		indent(out, depth);
		fprintf(out, "%.*s:\n", (int)(dot - part), part);
	}
	return depth;
}

void conf_print_sample(FILE *out)
{
	const char *before = "";

	fputs("# Configuration of sluice-dp and sluice-cp; both read this file. Generated: make docs.\n"
	      "#\n"
	      "# Every key is here, commented out, with its default. Variables of the environment\n"
	      "# override the file: for each key its SLUICE_ one, and where rtcd has the setting, rtcd's.\n"
	      "# sluice-cp --check-config --config FILE checks a file.\n",
	      out);
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];
		bool opens = false;
		unsigned depth = open_sections(out, key->path, before, &opens);

		if (!opens)
			fputc('\n', out);
		print_comment(out, depth, key->help);
		print_facts(out, depth, key);
		print_default(out, depth, key, strrchr(key->path, '.') + 1);
		before = key->path;
	}
}

// --- manual ------------------------------------------------------------------------------------
// '|' would end the cell.
static void print_cell(FILE *out, const char *text)
{
	for (; *text; text++)
		fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void print_row(FILE *out, const struct conf_key *key)
{
	static const char *const types[] = {
		[CONF_BOOL] = "`true` or `false`",
		[CONF_U16] = "number",
		[CONF_U32] = "number",
		[CONF_I32] = "number",
		[CONF_STRING] = "text",
		[CONF_LIST] = "list",
	};

	fprintf(out, "| `%s` | ", key->path);
	if (key->unit)
		fprintf(out, "%s, %lld to %lld", key->unit, (long long)key->min, (long long)key->max);
	else if (key->syntax)
		print_cell(out, key->syntax);
	else
		fputs(types[key->type], out);
	fprintf(out, " | %s%s%s | ", *key->def ? "`" : "", *key->def ? key->def : "empty",
		*key->def ? "`" : "");
	print_cell(out, key->help);
	if (key->env)
		fprintf(out, "<br>rtcd: `%s`", key->env);
	fputs(" |\n", out);
}

static void print_preface(FILE *out)
{
	fputs("# Configuration\n"
	      "\n"
	      "Generated from `lib/conf/schema.c` by `make docs`; do not edit. The same as a commented file:\n"
	      "[conf/sluice.yaml](../conf/sluice.yaml).\n"
	      "\n"
	      "Both daemons read the same YAML file (`--config FILE`). Every key may also be given in the\n"
	      "environment, as `SLUICE_` and its path in capitals with `_` for `.`: `rtc.ice_port_udp` is\n"
	      "`SLUICE_RTC_ICE_PORT_UDP`. Other variables that begin with `SLUICE_` are ignored. Where rtcd has\n"
	      "the same setting, its variable is accepted as well, so an environment made for rtcd keeps working.\n"
	      "\n"
	      "Order: defaults, file, rtcd's variables, `SLUICE_` variables; the last one wins. A variable that is\n"
	      "set but empty counts as set. Lists are YAML sequences, or one text with commas; in the environment\n"
	      "a JSON array works too.\n"
	      "\n"
	      "A mistake ends the daemon with status 78 and one line, `file:line:column: key: reason`, or\n"
	      "`VARIABLE: key: reason`. `--check-config` only checks; `sluice-cp --print-config` shows each value\n"
	      "and where it comes from.\n",
	      out);
}

void conf_print_docs(FILE *out)
{
	const char *section = "";

	print_preface(out);
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const char *path = conf_schema[i].path;
		size_t len = strcspn(path, ".");

		if (strncmp(path, section, len + 1) != 0) {
			fprintf(out,
				"\n## %.*s\n\n%s.\n\n| key | value | default | meaning "
				"|\n|---|---|---|---|\n",
				(int)len, path, section_text(path, len));
			section = path;
		}
		print_row(out, &conf_schema[i]);
	}
	fputs("\n## Variables of rtcd without effect\n\nAccepted, so that an environment made for rtcd needs "
	      "no change:\n\n",
	      out);
	for (const char *const *env = conf_ignored_env; *env; env++)
		fprintf(out, "- `%s`\n", *env);
}
