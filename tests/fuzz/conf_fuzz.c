// The configuration file: any text gives a loaded configuration or one line that says why not.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf conf;
	struct conf_error err;
	uint16_t core[CONF_MAX_CORES], port;
	char host[256], *text = NULL;
	size_t len;
	FILE *out;

	if (conf_parse(&conf, "fuzz", (const char *)data, size, &err) < 0) {
		MUST(err.text[0] != '\0' && strlen(err.text) < sizeof(err.text));
		return 0;
	}
	// What was accepted must be usable.
	MUST(conf_host_port(conf.api.listen, host, sizeof(host), &port) == 0);
	MUST(conf_cores(conf.dataplane.worker_cores, core, CONF_MAX_CORES) >= 0);
	MUST(conf.dataplane.ports.n > 0 && conf.rtc.nack_buffer_size >= 32);
	out = open_memstream(&text, &len);
	MUST(out != NULL);
	conf_print(&conf, out);
	fclose(out);
	free(text);
	conf_fini(&conf);
	return 0;
}
