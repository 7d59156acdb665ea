#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/sys/priv.h"
#include "lib/base/err.h"
#include "tests/unit/check.h"

// What a confined child finds, as bits of its exit status.
enum {
	NOT_CONFINED = 1,
	EXEC_WORKS = 2,
	TRACE_WORKS = 4,
	FILES_FAIL = 8,
	SOCKETS_FAIL = 16,
	UNSUPPORTED = 32
};

static int confined_child(void)
{
	char *argv[] = {"true", NULL};
	int rc = priv_confine(), bits = 0;

	if (rc == -ENOTSUP)
		return UNSUPPORTED;
	if (rc < 0)
		return NOT_CONFINED;
	if (open("/proc/self/stat", O_RDONLY) < 0)
		bits |= FILES_FAIL;
	if (socket(AF_INET, SOCK_STREAM, 0) < 0)
		bits |= SOCKETS_FAIL;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 || errno != EPERM)
		bits |= TRACE_WORKS;
	execv("/bin/true", argv);
	return bits | (errno == EPERM ? 0 : EXEC_WORKS);
}

static void confines(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(confined_child());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == UNSUPPORTED)
		check_skip("not under sanitizers");
	else
		CHECK_EQ(WEXITSTATUS(status), 0);
}

static void notifies(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char buf[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/sluice-notify-%d", getpid());
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	priv_notify("READY=1");
	CHECK_EQ(recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT), 7);
	CHECK_STR(buf, "READY=1");
	close(fd);
	unlink(at.sun_path);
	priv_notify("READY=1"); // nobody there: nothing happens
	setenv("NOTIFY_SOCKET", "relative", 1);
	priv_notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	priv_notify("READY=1");
}

CU_TestInfo priv_tests[] = {
	{"confined: files and sockets work, programs and tracing do not", confines},
	{"tells systemd", notifies},
	CU_TEST_INFO_NULL,
};
